"""What the `provider/` before a LiteLLM model becomes here, or why it becomes nothing."""

from __future__ import annotations

from typing import NamedTuple


class Prefix(NamedTuple):
    """How requests for a prefix are sent.

    `kind`: entry of the catalogue; None: any server that speaks OpenAI's dialect, at `base_url` if it is one vendor's.
    `key`, `base`: variables from which LiteLLM takes what the file leaves out; None: the same as the kind, or none.
    `elsewhere`: whether a server at another address than the vendor's speaks what the kind speaks.
    """

    kind: str | None = None
    base_url: str | None = None
    key: str | None = None
    base: str | None = None
    elsewhere: bool = True


CARRIED: dict[str, Prefix] = {
    "openai": Prefix("openai"),
    "text-completion-openai": Prefix("openai"),
    "custom_openai": Prefix("openai"),
    "openai_like": Prefix("openai"),
    "aiohttp_openai": Prefix("openai"),
    "anthropic": Prefix("anthropic"),
    "ollama": Prefix("ollama"),
    "ollama_chat": Prefix("ollama"),
    "azure": Prefix("azure", key="AZURE_API_KEY", base="AZURE_API_BASE"),
    "azure_text": Prefix("azure", key="AZURE_API_KEY", base="AZURE_API_BASE"),
    "gemini": Prefix("gemini", elsewhere=False),
    "mistral": Prefix("mistral"),
    "groq": Prefix("groq"),
    "together_ai": Prefix("together"),
    "fireworks_ai": Prefix("fireworks"),
    "deepseek": Prefix("deepseek"),
    "xai": Prefix("xai"),
    "openrouter": Prefix("openrouter"),
    "cohere": Prefix("cohere", elsewhere=False),
    "cohere_chat": Prefix("cohere", elsewhere=False),
    "perplexity": Prefix("perplexity", key="PERPLEXITYAI_API_KEY"),
    "cerebras": Prefix("cerebras"),
    "moonshot": Prefix("moonshot"),
    "zai": Prefix("zai"),
    "minimax": Prefix("minimax"),
    "dashscope": Prefix("dashscope"),
    "hosted_vllm": Prefix("vllm", base="HOSTED_VLLM_API_BASE"),
    "vllm": Prefix("vllm"),
    "lm_studio": Prefix("lmstudio", base="LM_STUDIO_API_BASE"),
    "llamafile": Prefix("llamacpp"),
    # not in the catalogue, but they speak OpenAI's dialect
    "litellm_proxy": Prefix(key="LITELLM_PROXY_API_KEY", base="LITELLM_PROXY_API_BASE"),
    "xinference": Prefix(base="XINFERENCE_API_BASE"),
    "nvidia_nim": Prefix(base_url="https://integrate.api.nvidia.com/v1", key="NVIDIA_NIM_API_KEY"),
    "deepinfra": Prefix(base_url="https://api.deepinfra.com/v1/openai", key="DEEPINFRA_API_KEY"),
    "sambanova": Prefix(base_url="https://api.sambanova.ai/v1", key="SAMBANOVA_API_KEY"),
    "friendliai": Prefix(base_url="https://api.friendli.ai/serverless/v1", key="FRIENDLIAI_API_KEY"),
    "meta_llama": Prefix(base_url="https://api.llama.com/compat/v1", key="LLAMA_API_KEY"),
    "galadriel": Prefix(base_url="https://api.galadriel.com/v1", key="GALADRIEL_API_KEY"),
    "empower": Prefix(base_url="https://app.empower.dev/api/v1", key="EMPOWER_API_KEY"),
    "volcengine": Prefix(base_url="https://ark.cn-beijing.volces.com/api/v3", key="VOLCENGINE_API_KEY"),
    "codestral": Prefix(base_url="https://codestral.mistral.ai/v1", key="CODESTRAL_API_KEY"),
    "ai21_chat": Prefix(base_url="https://api.ai21.com/studio/v1", key="AI21_API_KEY"),
}

_SIGNED = (
    "requests to AWS are not signed here; models that Bedrock offers with an API key can be had with kind: bedrock"
)
_GOOGLE = (
    "tokens of Google Cloud service accounts are not fetched here; Gemini with an API key can be had with kind: gemini"
)
_OWN = "its own dialect is not spoken here; if the server has an OpenAI-compatible address, give it dialect: openai"

REFUSED: dict[str, str] = {
    "bedrock": _SIGNED,
    "bedrock_converse": _SIGNED,
    "bedrock_mantle": _SIGNED,
    "sagemaker": _SIGNED,
    "sagemaker_chat": _SIGNED,
    "vertex_ai": _GOOGLE,
    "vertex_ai_beta": _GOOGLE,
    "azure_ai": (
        "an Azure AI address cannot be guessed from LiteLLM's; write a provider with dialect: openai and its "
        "OpenAI-compatible "
        "base_url, or kind: azure-anthropic for Claude"
    ),
    "anthropic_text": "the old text completions of Anthropic are not spoken here",
    "watsonx": "tokens of IBM Cloud are not fetched here",
    "watsonx_text": "tokens of IBM Cloud are not fetched here",
    "oci": "requests to Oracle Cloud are not signed here",
    "gigachat": "tokens of GigaChat are not fetched here",
    "custom": "a provider written in Python for LiteLLM runs nowhere else",
    "auto_router": "no model is chosen by the content of a request here",
}
"""Prefix → why; a prefix in neither table is answered with `OTHER`."""

OTHER = _OWN


def find(prefix: str) -> Prefix | str:
    """What to do with a prefix, or why it is not carried over."""
    return CARRIED.get(prefix) or REFUSED.get(prefix) or OTHER

//! The table of paths: every path of design section 12, however it is written, and what is refused.

use penstock_core::{
    dialects::Dialect::{self, Anthropic, Ollama, OpenAi},
    error::{Code, Error},
    request::endpoint::{Api, Endpoint, Form, is_stored},
};

const POSTED: &[(&str, Api, Dialect)] = &[
    ("/chat/completions", Api::Chat, OpenAi),
    ("/completions", Api::Completions, OpenAi),
    ("/embeddings", Api::Embeddings, OpenAi),
    ("/responses", Api::Responses, OpenAi),
    ("/responses/input_tokens", Api::InputTokens, OpenAi),
    ("/responses/compact", Api::Compact, OpenAi),
    ("/moderations", Api::Moderations, OpenAi),
    ("/images/generations", Api::Images, OpenAi),
    ("/images/edits", Api::Images, OpenAi),
    ("/images/variations", Api::Images, OpenAi),
    ("/audio/speech", Api::Speech, OpenAi),
    ("/audio/transcriptions", Api::Transcription, OpenAi),
    ("/audio/translations", Api::Transcription, OpenAi),
    ("/tokens/count", Api::Tokens, OpenAi),
    ("/messages", Api::Messages, Anthropic),
    ("/messages/count_tokens", Api::CountTokens, Anthropic),
    ("/api/chat", Api::OllamaChat, Ollama),
    ("/api/generate", Api::OllamaGenerate, Ollama),
    ("/api/embed", Api::OllamaEmbed, Ollama),
    ("/api/embeddings", Api::OllamaEmbed, Ollama),
    ("/api/show", Api::OllamaShow, Ollama),
];
const GOTTEN: &[(&str, Api, Dialect)] = &[
    ("/models", Api::Models, OpenAi),
    ("/key", Api::Key, OpenAi),
    ("/api/tags", Api::OllamaTags, Ollama),
    ("/api/version", Api::OllamaVersion, Ollama),
];
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post"];

fn find(method: &str, path: &str) -> Result<(Api, Dialect, Form, String), Error> {
    Endpoint::find(method, path, false).map(|e| (e.api, e.dialect, e.form, e.rest().to_owned()))
}

/// The same path as people write it.
fn spellings(path: &str) -> Vec<String> {
    let doubled = path.replace('/', "//");
    [path.to_owned(), doubled]
        .iter()
        .flat_map(|p| [p.clone(), format!("/v1{p}"), format!("{p}/"), format!("//v1/{p}//")])
        .collect()
}

#[test]
fn every_path_is_found_with_and_without_version_and_spare_slashes() {
    for (table, methods, form) in [(POSTED, &["POST"][..], Form::Model), (GOTTEN, &["GET", "HEAD"], Form::None)] {
        for (path, api, dialect) in table {
            for spelling in spellings(path) {
                for method in methods {
                    let found = find(method, &spelling).unwrap_or_else(|e| panic!("{method} {spelling}: {e}"));
                    assert_eq!(found, (*api, *dialect, form, (*path).to_owned()), "{method} {spelling}");
                }
            }
        }
    }
}

#[test]
fn a_query_is_no_part_of_the_path_and_case_matters() {
    for path in ["/v1/Chat/completions", "/V1/chat/completions", "/v1chat/completions", "/v2/chat/completions", "/chat"]
    {
        let found = find("POST", path).unwrap();
        assert_eq!((found.0, found.2), (Api::Other, Form::Opaque), "{path}");
    }
}

#[test]
fn the_version_is_taken_off_once() {
    assert_eq!(find("POST", "/v1/v1/chat/completions").unwrap().3, "/v1/chat/completions");
    assert_eq!(find("POST", "/v1/v1/chat/completions").unwrap().0, Api::Other);
}

#[test]
fn another_method_is_a_405_that_names_the_right_one() {
    for (table, right) in [(POSTED, &["POST"][..]), (GOTTEN, &["GET", "HEAD"])] {
        for (path, ..) in table.iter().filter(|(p, ..)| !is_stored(p)) {
            for method in METHODS.iter().filter(|m| !right.contains(m)) {
                let error = find(method, &format!("/v1{path}")).expect_err(path);
                assert_eq!(error.code, Code::MethodNotAllowed, "{method} {path}");
                assert!(error.message.contains(right[0]) && error.message.contains(path), "{}", error.message);
            }
        }
    }
}

#[test]
fn reading_stored_answers_is_not_sending_new_ones() {
    for (method, path) in [
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions/chatcmpl-1"),
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"),
    ] {
        let (api, dialect, form, rest) = find(method, path).unwrap();
        assert_eq!((api, dialect, form), (Api::Other, OpenAi, Form::Opaque), "{method} {path}");
        assert!(is_stored(&rest), "{path}");
    }
}

#[test]
fn paths_that_name_stored_objects_are_known_as_such() {
    for path in [
        "/files",
        "/files/file-1/content",
        "/uploads/u/parts",
        "/batches",
        "/conversations/c",
        "/vector_stores/v/files",
        "/fine_tuning/jobs",
        "/evals",
        "/containers/c/files",
        "/messages/batches/b",
        "/organization/users",
        "/threads/t",
        "/assistants",
        "/videos/v",
        "/skills",
        "/realtime/sessions",
        "/responses/r",
        "/chat/completions/c",
    ] {
        assert!(is_stored(path), "{path}");
        assert_eq!(find("GET", &format!("/v1{path}")).unwrap().0, Api::Other);
    }
    for path in
        ["/responses", "/messages", "/messages/count_tokens", "/filesystem", "/models", "/batch", "/embeddings", "/"]
    {
        assert!(!is_stored(path), "{path}");
    }
}

#[test]
fn anthropic_version_decides_the_dialect_of_shared_paths_only() {
    let dialect = |method, path, anthropic| Endpoint::find(method, path, anthropic).unwrap().dialect;
    for path in ["/v1/models", "/v1/models/claude-haiku-4-5", "/v1/files"] {
        assert_eq!((dialect("GET", path, false), dialect("GET", path, true)), (OpenAi, Anthropic), "{path}");
    }
    for (path, _, always) in POSTED {
        for anthropic in [false, true] {
            assert_eq!(dialect("POST", path, anthropic), *always, "{path}");
        }
    }
    assert_eq!(dialect("POST", "/v1/messages/batches", false), Anthropic);
    assert_eq!(dialect("GET", "/api/tags", true), Ollama);
}

#[test]
fn a_models_name_may_hold_slashes_plain_or_encoded() {
    for path in [
        "/v1/models/gpt-5",
        "/models/openai%2Fgpt-5",
        "/v1/models/openai/gpt-5",
        "/v1/models/gpt-4.1",
        "/v1/models/a%20b",
    ] {
        let (api, _, form, rest) = find("GET", path).unwrap();
        assert_eq!((api, form), (Api::Models, Form::None), "{path}");
        assert_eq!(rest, path.strip_prefix("/v1").unwrap_or(path), "as it came");
    }
    assert_eq!(
        find("DELETE", "/v1/models/ft:gpt-5").unwrap().0,
        Api::Other,
        "deleting a model is the provider's business"
    );
}

#[test]
fn dot_segments_are_refused_however_they_are_written() {
    for path in [
        "/v1/../admin",
        "/..",
        "/.",
        "/v1/./models",
        "/v1/models/..",
        "/v1/models/.",
        "/v1/models/../files",
        "/v1/%2e%2e/x",
        "/v1/%2E%2e/x",
        "/v1/.%2e/x",
        "/v1/%2e/x",
        "/v1/%252e%252e/x",
        "/v1/%252E%2e/x",
        "/v1/models/..%2ffiles",
        "/v1/models/..%2Ffiles",
        "/v1/models/x%2f..%2f..%2ffiles",
        "/v1/models/..%5cfiles",
        "/v1/models/..\\files",
        "/v1/models/%2e%2e%252ffiles",
        "//..//x",
        "/api/../v1/files",
    ] {
        for method in ["GET", "POST"] {
            let error = find(method, path).expect_err(path);
            assert_eq!(error.code, Code::PathNotFound, "{path}");
        }
    }
    for path in ["/v1/models/gpt-4.1", "/v1/models/...", "/v1/models/a..b", "/v1/models/.hidden", "/v1/models/x%2ey"] {
        assert!(find("GET", path).is_ok(), "{path}");
    }
}

#[test]
fn ollama_paths_that_are_not_served_are_a_404_and_never_passed_through() {
    for path in ["/api/pull", "/api/delete", "/api/create", "/api/ps", "/v1/api/blobs/sha256:0", "/api/chat/x"] {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(find(method, path).expect_err(path).code, Code::PathNotFound, "{method} {path}");
        }
    }
}

#[test]
fn each_dialect_gets_the_path_that_its_base_expects() {
    let upstream = |method: &str, path: &str, anthropic: bool| {
        let endpoint = Endpoint::find(method, path, anthropic).unwrap();
        let (version, rest) = endpoint.upstream_path();
        format!("{version}{rest}")
    };
    for prefix in ["", "/v1"] {
        assert_eq!(upstream("POST", &format!("{prefix}/chat/completions"), false), "/chat/completions");
        assert_eq!(upstream("POST", &format!("{prefix}/messages"), false), "/v1/messages");
        assert_eq!(upstream("POST", &format!("{prefix}/api/chat"), false), "/api/chat");
        assert_eq!(upstream("GET", &format!("{prefix}/files//f/"), true), "/v1/files/f");
    }
}

#[test]
fn streams_have_the_framing_of_their_path_and_only_ollama_streams_by_default() {
    for (path, api, _) in POSTED {
        let endpoint = Endpoint::find("POST", path, false).unwrap();
        let streams = matches!(
            api,
            Api::Chat
                | Api::Completions
                | Api::Responses
                | Api::Images
                | Api::Speech
                | Api::Transcription
                | Api::Messages
                | Api::OllamaChat
                | Api::OllamaGenerate
        );
        assert_eq!(endpoint.stream_kind().is_some(), streams, "{path}");
        assert_eq!(endpoint.streams_by_default(), matches!(api, Api::OllamaChat | Api::OllamaGenerate), "{path}");
    }
}

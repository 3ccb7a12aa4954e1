//! What a picture costs in tokens, by the rules of the model that sees it.

use super::{
    models::{bare, claude, is_of},
    picture,
};

/// What a picture is taken to be whose size does not stand in the request, such as one behind an address.
pub const UNKNOWN_SIZE: (u32, u32) = (1024, 1024);

/// How closely a model is asked to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    Low,
    High,
    Original,
    #[default]
    Auto,
}

impl Detail {
    /// As the request has it; what nobody knows is `auto`.
    pub fn named(name: &[u8]) -> Self {
        match name {
            b"low" => Self::Low,
            b"high" => Self::High,
            b"original" => Self::Original,
            _ => Self::Auto,
        }
    }
}

/// A rule of counting. Sources: `OpenAI`'s guide to images and vision, Anthropic's to vision, both by way of `LiteLLM`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// Within 2048 pixels, the shorter side within 768: so much, and so much for each square of 512.
    Tiles { base: u64, tile: u64 },
    /// Squares of `side` pixels, after shrinking to the longest side and the number of squares that are allowed.
    Patches { side: f64, longest: f64, most: f64, factor: f64 },
}

const GPT_4O: Rule = Rule::Tiles { base: 85, tile: 170 };
const TILES: [(&str, Rule); 5] = [
    ("gpt-4o-mini", Rule::Tiles { base: 2_833, tile: 5_667 }),
    ("gpt-5", Rule::Tiles { base: 70, tile: 140 }),
    ("gpt-5.1", Rule::Tiles { base: 70, tile: 140 }),
    ("o1", Rule::Tiles { base: 75, tile: 150 }),
    ("o3", Rule::Tiles { base: 75, tile: 150 }),
];
/// Models that count squares of 32 pixels, with their factor.
const PATCHES: [(&str, f64); 7] = [
    ("gpt-4.1-mini", 1.62),
    ("gpt-5.2", 1.2),
    ("gpt-5.4", 1.2),
    ("gpt-5.5", 1.2),
    ("gpt-5.6", 1.2),
    ("gpt-6", 1.2),
    ("gpt-6.1", 1.2),
];
const UNLIMITED: f64 = f64::INFINITY;

/// Tokens of a picture as it stands in a request, by the size that its head says; and whether that is known, or no matter.
pub fn picture_tokens(model: &str, base64: &[u8], detail: Detail) -> (u64, bool) {
    let size = picture::size(base64);
    let is_flat = detail == Detail::Low && matches!(rule(&bare(model), detail), Rule::Tiles { .. });
    (image_tokens(model, size.unwrap_or(UNKNOWN_SIZE), detail), size.is_some() || is_flat)
}

/// Tokens of a picture of so many pixels. Models that are not listed, of other vendors too, count as gpt-4o.
pub fn image_tokens(model: &str, (width, height): (u32, u32), detail: Detail) -> u64 {
    let (width, height) = (f64::from(width), f64::from(height));
    match rule(&bare(model), detail) {
        Rule::Tiles { base, .. } if detail == Detail::Low => base,
        Rule::Tiles { base, tile } => {
            let fit = (2_048.0 / width.max(height)).min(1.0);
            let fit = fit * (768.0 / (width.min(height) * fit)).min(1.0);
            base + tile * squares(width * fit, height * fit, 512.0)
        }
        Rule::Patches { side, longest, most, factor } => {
            let fit = (longest / width.max(height)).min(1.0);
            let (mut width, mut height) = (width * fit, height * fit);
            if squares(width, height, side) as f64 > most {
                let shrink = (side * side * most / (width * height)).sqrt();
                // Down to whole squares on the side where that takes more.
                let whole = |length: f64| (length * shrink / side).floor().max(1.0) / (length * shrink / side);
                let shrink = shrink * whole(width).min(whole(height)).min(1.0);
                (width, height) = (width * shrink, height * shrink);
            }
            whole((squares(width, height, side) as f64 * factor).ceil())
        }
    }
}

fn rule(name: &str, detail: Detail) -> Rule {
    if let Some(version) = claude(name) {
        let (longest, most) = if version >= (4, 7) { (2_576.0, 4_784.0) } else { (1_568.0, 1_568.0) };
        return Rule::Patches { side: 28.0, longest, most, factor: 1.0 };
    }
    if let Some((family, factor)) = PATCHES.iter().find(|(known, _)| is_of(name, known)) {
        let (longest, most) = patch_limits(name, family, detail);
        return Rule::Patches { side: 32.0, longest, most, factor: *factor };
    }
    TILES.iter().find(|(known, _)| is_of(name, known)).map_or(GPT_4O, |(_, rule)| *rule)
}

/// The longest side in pixels, and the most squares.
fn patch_limits(name: &str, family: &str, detail: Detail) -> (f64, f64) {
    let is_astra = is_of(name, "gpt-6-astra");
    if matches!(family, "gpt-4.1-mini" | "gpt-5.2") {
        return (2_048.0, 6_144.0);
    }
    let detail = match detail {
        Detail::Auto if is_astra || matches!(family, "gpt-5.5" | "gpt-5.6") => Detail::Original,
        Detail::Auto => Detail::High,
        other => other,
    };
    match detail {
        Detail::Low if family == "gpt-5.4" => (2_048.0, 6_144.0),
        Detail::Low => (512.0, UNLIMITED),
        Detail::Original if matches!(family, "gpt-5.4" | "gpt-5.5") => (6_000.0, 10_000.0),
        Detail::Original => (UNLIMITED, UNLIMITED),
        Detail::High | Detail::Auto => (if is_astra { UNLIMITED } else { 2_048.0 }, 2_500.0),
    }
}

/// Squares of this side that cover so many pixels.
fn squares(width: f64, height: f64, side: f64) -> u64 {
    // A hair less, so that what was shrunk to whole squares is not one more by rounding.
    let count = |length: f64| (length / side - 1e-9).ceil().max(1.0);
    whole(count(width) * count(height))
}

#[expect(clippy::cast_sign_loss, reason = "counts are not negative")]
fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_cost_what_the_rules_say() {
        for (model, size, detail, tokens) in [
            // Examples of OpenAI's guide.
            ("gpt-4o", (1024, 1024), Detail::High, 765),
            ("gpt-4o", (2048, 4096), Detail::Auto, 1_105),
            ("gpt-4o", (4096, 8192), Detail::Low, 85),
            ("gpt-4o-mini", (512, 512), Detail::High, 8_500),
            ("gpt-4o-2024-08-06", (100, 100), Detail::High, 255),
            ("gpt-5", (1024, 1024), Detail::High, 630),
            ("gpt-5.1-2026-01-01", (1024, 1024), Detail::Low, 70),
            ("o3", (1024, 1024), Detail::High, 675),
            ("gpt-4.1-mini", (1024, 1024), Detail::High, 1_659),
            ("gpt-5.2", (1024, 1024), Detail::Low, 1_229),
            // 4096 x 4096: 2048 pixels are 64 x 64 squares, 50 x 50 are allowed.
            ("gpt-5.4-mini", (4096, 4096), Detail::High, 3_000),
            ("gpt-5.4", (4096, 4096), Detail::Low, 4_916),
            ("gpt-5.5", (4096, 4096), Detail::Low, 308),
            ("gpt-5.5", (4096, 4096), Detail::Auto, 12_000),
            ("gpt-5.6-sol", (4096, 4096), Detail::Auto, 19_661),
            ("gpt-6-sol", (4096, 4096), Detail::Auto, 3_000),
            ("claude-opus-4-6", (200, 200), Detail::Auto, 64),
            ("claude-opus-4-6", (1092, 1092), Detail::Auto, 1_521),
            ("claude-opus-4-6", (8000, 8000), Detail::Auto, 1_521),
            ("claude-opus-5", (8000, 8000), Detail::Auto, 4_761),
            ("llama4", (1024, 1024), Detail::High, 765),
        ] {
            assert_eq!(image_tokens(model, size, detail), tokens, "{model} {size:?} {detail:?}");
        }
    }

    #[test]
    fn no_shape_breaks_a_rule() {
        for model in ["gpt-4o", "gpt-5.5", "gpt-6-astra", "claude-opus-4-6", "claude-opus-5"] {
            for detail in [Detail::Low, Detail::High, Detail::Original, Detail::Auto] {
                for size in [(1, 1), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX), (30_000, 1)] {
                    assert!(image_tokens(model, size, detail) > 0, "{model} {size:?}");
                }
            }
        }
    }
}

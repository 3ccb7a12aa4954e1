//! Pictures, sound and files inside a JSON request: bytes that are no text.

use std::{fmt, sync::LazyLock};

use memchr::memmem::Finder;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// What a body has beside text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Bytes of images in base64.
    pub image_bytes: u64,
    /// The same of sound, documents and other files.
    pub file_bytes: u64,
    pub images: u64,
}

/// No body without one of these has anything attached. `data` counts where it begins a name or ends `file_data`; the last
/// one begins any letter of those that is escaped.
static MARKS: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["image", "data", "\\u00"].map(|mark| Finder::new(mark.as_bytes())));

/// Nothing is attached deeper than this, in any dialect; the reader itself gives up at 128.
const MAX_DEPTH: usize = 64;

/// Looks for what is attached, in the places where each dialect has it. Of a body that cannot be read all is text.
pub fn attached(body: &[u8]) -> Attached {
    let [image, data, escape] = &*MARKS;
    let is_name = |at: usize| body[..at].ends_with(b"\"") || body[..at].ends_with(b"file_");
    if image.find(body).is_none() && !data.find_iter(body).any(is_name) && escape.find(body).is_none() {
        return Attached::default();
    }
    read(body).or_else(|| read(&without_surrogates(body))).unwrap_or_default()
}

fn read(body: &[u8]) -> Option<Attached> {
    let mut found = Attached::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = (At { place: Place::Top, depth: 0, found: &mut found }).deserialize(&mut json);
    read.ok().map(|_| found)
}

/// The same JSON with other letters in place of escaped surrogates: lone ones pass, but stand in no string of Rust's.
fn without_surrogates(body: &[u8]) -> Vec<u8> {
    let mut clean = body.to_vec();
    for at in memchr::memmem::find_iter(body, b"\\u") {
        if let Some(digit @ (b'd' | b'D')) = clean.get_mut(at + 2) {
            *digit = b'0';
        }
    }
    clean
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    /// Messages, or the parts of one: a list, or one of them.
    Items,
    /// A message, a part of its content, an item of a response.
    Item,
    /// An address, or the data itself.
    ImageUrl,
    /// Sound or a file, with its data.
    Holder,
    /// Anthropic's.
    Source,
    /// A list of base64, as Ollama has it.
    Images,
    /// Base64 in any case.
    Data,
    /// Data if it is an address of that kind.
    Url,
    /// A word or a length that matters to the object around it.
    Told,
    Elsewhere,
}

/// The names that matter.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    Messages,
    Input,
    System,
    Content,
    Output,
    Images,
    ImageUrl,
    InputAudio,
    File,
    FileData,
    Source,
    Url,
    Data,
    Result,
    Type,
    #[serde(other)]
    Other,
}

impl Place {
    /// The place of a member of an object that stands here.
    const fn member(self, name: Name) -> Self {
        match (self, name) {
            (Self::Top, Name::Messages | Name::Input | Name::System)
            | (Self::Item, Name::Content | Name::Output)
            | (Self::Source, Name::Content) => Self::Items,
            (Self::Top | Self::Item, Name::Images) => Self::Images,
            (Self::Item, Name::ImageUrl) => Self::ImageUrl,
            (Self::Item, Name::InputAudio | Name::File) => Self::Holder,
            (Self::Item | Self::Holder, Name::FileData) | (Self::Holder, Name::Data) => Self::Data,
            (Self::Item, Name::Source) => Self::Source,
            (Self::ImageUrl, Name::Url) => Self::Url,
            (Self::Item | Self::Source, Name::Type) | (Self::Item, Name::Result) | (Self::Source, Name::Data) => {
                Self::Told
            }
            _ => Self::Elsewhere,
        }
    }
}

/// The `type` of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    Image,
    InputImage,
    Screenshot,
    MadeImage,
    Base64,
    #[default]
    Other,
}

/// A string, or Anthropic's source of base64, as the object around it needs to know it.
#[derive(Clone, Copy, Default)]
struct Told {
    word: Word,
    bytes: u64,
}

struct At<'a> {
    place: Place,
    /// Of objects and arrays around it.
    depth: usize,
    found: &'a mut Attached,
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Told;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Told, D::Error> {
        if self.place == Place::Elsewhere || self.depth > MAX_DEPTH {
            IgnoredAny::deserialize(deserializer)?;
            return Ok(Told::default());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Told;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Told, E> {
        let bytes = text.len() as u64;
        match self.place {
            Place::Data => self.found.file_bytes += bytes,
            Place::Images => self.found.image_bytes += bytes,
            Place::Url | Place::ImageUrl if text.starts_with("data:") => self.found.image_bytes += bytes,
            // An address, or nothing that any dialect has.
            Place::Source => return Ok(Told::default()),
            _ => {}
        }
        let word = match text {
            "image" => Word::Image,
            "input_image" => Word::InputImage,
            "computer_screenshot" => Word::Screenshot,
            "image_generation_call" => Word::MadeImage,
            "base64" => Word::Base64,
            _ => Word::Other,
        };
        Ok(Told { word, bytes })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Told, A::Error> {
        let depth = self.depth + 1;
        let place = match self.place {
            Place::Items => Place::Item,
            Place::Images => Place::Images,
            _ => Place::Elsewhere,
        };
        while let Some(told) = list.next_element_seed(At { place, depth, found: &mut *self.found })? {
            self.found.images += u64::from(place == Place::Images && told.bytes > 0);
        }
        Ok(Told::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Told, A::Error> {
        let depth = self.depth + 1;
        let here = match self.place {
            // `images` of other dialects is a list of objects like the parts of a message.
            Place::Items | Place::Images => Place::Item,
            other => other,
        };
        let (mut word, mut data, mut source, mut has_url) = (Word::Other, 0, 0, false);
        while let Some(name) = object.next_key::<Name>()? {
            let told = object.next_value_seed(At { place: here.member(name), depth, found: &mut *self.found })?;
            match name {
                Name::Type => word = told.word,
                Name::Data | Name::Result => data = told.bytes,
                Name::Source => source = told.bytes,
                Name::ImageUrl => has_url = true,
                _ => {}
            }
        }
        if here == Place::Source {
            return Ok(Told { word, bytes: if word == Word::Base64 { data } else { 0 } });
        }
        if here == Place::Item {
            let is_image = matches!(word, Word::Image | Word::InputImage | Word::Screenshot | Word::MadeImage);
            let made = if word == Word::MadeImage { data } else { 0 };
            let (of_image, of_file) = if is_image { (source, 0) } else { (0, source) };
            self.found.image_bytes += made + of_image;
            self.found.file_bytes += of_file;
            self.found.images += u64::from(is_image || has_url);
        }
        Ok(Told::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Told, E> {
        Ok(Told::default())
    }

    fn visit_unit<E>(self) -> Result<Told, E> {
        Ok(Told::default())
    }
}

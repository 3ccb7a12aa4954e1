//! As much of Redis as the scripts use, with a clock that is moved by hand; it can be emptied, copied and put back.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use mlua::{Function, Lua, MultiValue, Result, Value, Variadic};

const LEASE: &str = include_str!("../../../../python/penstock/limits/lease.lua");
const RESET: &str = include_str!("../../../../python/penstock/limits/reset.lua");

type Fields = HashMap<String, String>;

#[derive(Clone, Debug, Default)]
struct Hash {
    fields: Fields,
    /// 0: it stays.
    expires_us: u64,
}

/// All that is stored, as it can be copied and put back.
#[derive(Clone, Debug, Default)]
pub struct Data(HashMap<String, Hash>);

#[derive(Debug, Default)]
struct Server {
    now_us: u64,
    data: Data,
    commands: usize,
}

pub struct Redis {
    lua: Lua,
    lease: Function,
    reset: Function,
    server: Rc<RefCell<Server>>,
}

impl Redis {
    pub fn new() -> Self {
        let (lua, server) = (Lua::new(), Rc::<RefCell<Server>>::default());
        let redis = lua.create_table().unwrap();
        let inner = server.clone();
        let call = move |lua: &Lua, words: Variadic<String>| inner.borrow_mut().call(lua, &words);
        redis.set("call", lua.create_function(call).unwrap()).unwrap();
        lua.globals().set("redis", redis).unwrap();
        let load = |source: &str| lua.load(source).into_function().unwrap();
        let (lease, reset) = (load(LEASE), load(RESET));
        Self { lua, lease, reset, server }
    }

    pub fn set_now(&self, us: u64) {
        self.server.borrow_mut().now_us = us;
    }

    /// Runs lease.lua; its answer is twelve integers.
    pub fn lease(&self, key: &str, args: &[String]) -> [i64; 12] {
        let answer: Vec<f64> = self.run(&self.lease, key, args);
        let whole = answer.iter().map(|number| {
            assert!(number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0, "not exact: {answer:?}");
            *number as i64
        });
        whole.collect::<Vec<_>>().try_into().unwrap()
    }

    /// Runs reset.lua. Whether there was something.
    pub fn reset(&self, key: &str) -> bool {
        self.run::<u8>(&self.reset, key, &[]) == 1
    }

    pub fn copy(&self) -> Data {
        self.server.borrow().data.clone()
    }

    /// What is stored is this from now on, as after a failover to a replica that was behind.
    pub fn put_back(&self, data: Data) {
        self.server.borrow_mut().data = data;
    }

    /// Commands since the last time it was asked.
    pub fn commands(&self) -> usize {
        std::mem::take(&mut self.server.borrow_mut().commands)
    }

    /// Fields of all that is stored.
    pub fn fields(&self) -> usize {
        self.server.borrow().data.0.values().map(|hash| hash.fields.len()).sum()
    }

    /// Forgets what has expired; how many keys are left.
    pub fn keys(&self) -> usize {
        let mut server = self.server.borrow_mut();
        server.expire();
        server.data.0.len()
    }

    fn run<T: mlua::FromLua>(&self, script: &Function, key: &str, args: &[String]) -> T {
        self.lua.globals().set("KEYS", vec![key]).unwrap();
        self.lua.globals().set("ARGV", args).unwrap();
        script.call(MultiValue::new()).unwrap()
    }
}

impl Server {
    fn call(&mut self, lua: &Lua, words: &[String]) -> Result<Value> {
        self.commands += 1;
        self.expire();
        let (command, words) = words.split_first().unwrap();
        let strings = |strings: Vec<String>| lua.create_sequence_from(strings).map(Value::Table);
        let integer = |number: usize| Ok(Value::Number(number as f64));
        if command == "TIME" {
            return strings(vec![(self.now_us / 1_000_000).to_string(), (self.now_us % 1_000_000).to_string()]);
        }
        let (key, words) = words.split_first().unwrap();
        let stored = &mut self.data.0;
        let known = stored.get(key).map(|hash| &hash.fields);
        match command.as_str() {
            "HGETALL" => strings(known.into_iter().flatten().flat_map(|(k, v)| [k.clone(), v.clone()]).collect()),
            "HKEYS" => strings(known.into_iter().flat_map(HashMap::keys).cloned().collect()),
            "HLEN" => integer(known.map_or(0, HashMap::len)),
            "HMGET" => {
                let value = |field| known.and_then(|fields| fields.get(field)).map(|value| lua.create_string(value));
                let values: Result<Vec<_>> = words
                    .iter()
                    .map(|field| value(field).map_or(Ok(Value::Boolean(false)), |text| text.map(Value::String)))
                    .collect();
                lua.create_sequence_from(values?).map(Value::Table)
            }
            "HSET" => {
                assert!(!words.is_empty() && words.len().is_multiple_of(2), "{words:?}");
                let pairs = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
                stored.entry(key.clone()).or_default().fields.extend(pairs);
                integer(words.len() / 2)
            }
            "HDEL" => {
                assert!(!words.is_empty());
                if let Some(hash) = stored.get_mut(key) {
                    hash.fields.retain(|field, _| !words.contains(field));
                    if hash.fields.is_empty() {
                        stored.remove(key);
                    }
                }
                integer(words.len())
            }
            "DEL" => integer(usize::from(stored.remove(key).is_some())),
            "PEXPIRE" => {
                let ms: u64 = words[0].parse().unwrap();
                if let Some(hash) = stored.get_mut(key) {
                    hash.expires_us = self.now_us + ms * 1_000;
                }
                integer(1)
            }
            other => panic!("not a command that is known here: {other}"),
        }
    }

    fn expire(&mut self) {
        let now_us = self.now_us;
        self.data.0.retain(|_, hash| hash.expires_us == 0 || hash.expires_us > now_us);
    }
}

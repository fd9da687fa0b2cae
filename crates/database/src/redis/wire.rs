//! The Redis serialization protocol, version 2 (RESP2, <https://redis.io/docs/latest/develop/reference/protocol-spec/>):
//! commands out, replies in. A peer's lengths are claims: nothing is reserved on their strength.
//!
//! Our own, because it is short and a server may be anybody's: the usual client library buffers a reply of any length,
//! keeps copies of passwords, and needs a task of its own for each connection.

use coffre_secret::{Secret, SecretVec};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// The bytes of one reply, its nested ones included.
const MAX_REPLY: usize = 8 << 20;
/// Values in one reply: `ACL LIST` has one for each user.
const MAX_VALUES: usize = 200_000;
/// Arrays within arrays; `ACL GETUSER` has three.
const MAX_DEPTH: usize = 6;
/// A line: an error, a simple string, a number.
const MAX_LINE: usize = 4096;
/// What is read of a bulk string at once, and so the most that a false length costs.
const CHUNK: usize = 16 << 10;

/// What a server answered.
#[derive(Debug)]
pub enum Reply {
    /// `+OK`.
    Simple(String),
    /// `-WRONGPASS …`: the first word and the rest. The rest can quote what we sent, so it is never passed on.
    Error(String, String),
    /// `:1`: how many of something, which nobody here asks.
    Int,
    /// Bytes, which may be secret; `None` is nil.
    Bulk(Option<SecretVec>),
    /// `None` is nil: an `EXEC` whose watched key has changed.
    Array(Option<Vec<Reply>>),
}

/// Why no reply could be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection ended or failed.
    Lost,
    /// Not RESP2, or more than we take.
    Garbled,
}

impl Reply {
    /// Text of a string, simple or bulk.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Simple(text) => Some(text),
            // EXPOSE: the caller asked for names and hashes.
            Self::Bulk(Some(bytes)) => std::str::from_utf8(bytes.expose()).ok(),
            _ => None,
        }
    }

    /// The elements of an array; none of anything else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(Some(items)) => items,
            _ => &[],
        }
    }

    /// The value after this name in a flat list of names and values, as RESP2 gives maps.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let mut pairs = self.items().chunks_exact(2);
        pairs.find_map(|pair| match pair {
            [key, value] if key.text() == Some(name) => Some(value),
            _ => None,
        })
    }

    /// Whether it is nil.
    pub const fn is_nil(&self) -> bool {
        matches!(self, Self::Bulk(None) | Self::Array(None))
    }
}

/// A command as an array of bulk strings: arguments are bytes of stated length, so none can become another command.
pub fn command(arguments: &[&[u8]]) -> SecretVec {
    let size = arguments.iter().map(|argument| argument.len() + 16).sum::<usize>() + 16;
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
    Secret::new(out)
}

/// Reads one reply. It has 8 MiB and 200,000 values at most, and arrays six deep.
///
/// # Errors
/// [`Broken::Lost`] if the stream ends or fails within it, [`Broken::Garbled`] if it is none or beyond the bounds.
pub async fn reply(stream: &mut (impl AsyncBufRead + Unpin + Send)) -> Result<Reply, Broken> {
    let mut reader = Reader { stream, bytes: MAX_REPLY, values: MAX_VALUES };
    reader.value(0).await
}

struct Reader<'a, S> {
    stream: &'a mut S,
    bytes: usize,
    values: usize,
}

impl<S: AsyncBufRead + Unpin + Send> Reader<'_, S> {
    async fn value(&mut self, depth: usize) -> Result<Reply, Broken> {
        self.values = self.values.checked_sub(1).ok_or(Broken::Garbled)?;
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).ok_or(Broken::Garbled)?;
        match kind {
            "+" => Ok(Reply::Simple(rest.to_owned())),
            "-" => {
                let (code, detail) = rest.split_once(' ').unwrap_or((rest, ""));
                Ok(Reply::Error(code.to_owned(), detail.to_owned()))
            }
            ":" => rest.parse::<i64>().map(|_| Reply::Int).map_err(|_| Broken::Garbled),
            "$" => match length(rest)? {
                None => Ok(Reply::Bulk(None)),
                Some(length) => self.bulk(length).await.map(|bytes| Reply::Bulk(Some(bytes))),
            },
            "*" => match length(rest)? {
                None => Ok(Reply::Array(None)),
                Some(_) if depth >= MAX_DEPTH => Err(Broken::Garbled),
                Some(length) => Box::pin(self.array(length, depth)).await,
            },
            _ => Err(Broken::Garbled),
        }
    }

    async fn array(&mut self, length: usize, depth: usize) -> Result<Reply, Broken> {
        if length > self.values {
            return Err(Broken::Garbled);
        }
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.value(depth + 1).await?);
        }
        Ok(Reply::Array(Some(items)))
    }

    async fn bulk(&mut self, length: usize) -> Result<SecretVec, Broken> {
        self.spend(length)?;
        let mut bytes: SecretVec = Secret::new(Vec::with_capacity(length.min(CHUNK)));
        let mut left = length;
        while left > 0 {
            let step = left.min(CHUNK);
            // EXPOSE: filled in place.
            let buffer = bytes.expose_mut();
            let read =
                (&mut *self.stream).take(step as u64).read_to_end(buffer).await.map_err(|_| Broken::Lost)?;
            if read != step {
                return Err(Broken::Lost);
            }
            left -= step;
        }
        let mut end = [0; 2];
        self.stream.read_exact(&mut end).await.map_err(|_| Broken::Lost)?;
        if end == *b"\r\n" { Ok(bytes) } else { Err(Broken::Garbled) }
    }

    async fn line(&mut self) -> Result<String, Broken> {
        let mut line = Vec::new();
        let mut limited = (&mut *self.stream).take(MAX_LINE as u64);
        limited.read_until(b'\n', &mut line).await.map_err(|_| Broken::Lost)?;
        self.spend(line.len())?;
        match line.strip_suffix(b"\r\n") {
            Some(text) => String::from_utf8(text.to_vec()).map_err(|_| Broken::Garbled),
            None if line.len() < MAX_LINE && !line.ends_with(b"\n") => Err(Broken::Lost),
            None => Err(Broken::Garbled),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Broken> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Broken::Garbled)?;
        Ok(())
    }
}

/// A length: `-1` is nil.
fn length(text: &str) -> Result<Option<usize>, Broken> {
    if text == "-1" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Broken::Garbled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Reply, Broken> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { reply(&mut &bytes[..]).await })
    }

    #[test]
    fn replies_are_read() {
        assert_eq!(read(b"+OK\r\n").unwrap().text(), Some("OK"));
        assert!(matches!(read(b":-7\r\n"), Ok(Reply::Int)));
        assert!(read(b"$-1\r\n").unwrap().is_nil() && read(b"*-1\r\n").unwrap().is_nil());
        let Ok(Reply::Error(code, rest)) = read(b"-NOPERM no permission\r\n") else { panic!("an error") };
        assert_eq!((code.as_str(), rest.as_str()), ("NOPERM", "no permission"));
        let map = read(b"*4\r\n$1\r\na\r\n$2\r\nxy\r\n$1\r\nb\r\n*1\r\n+z\r\n").unwrap();
        assert_eq!(map.field("a").and_then(Reply::text), Some("xy"));
        assert_eq!(map.field("b").map(|list| list.items().len()), Some(1));
        assert_eq!(map.field("xy").map(Reply::is_nil), None);
    }

    #[test]
    fn a_command_states_the_length_of_every_argument() {
        let sent = command(&[b"GET", b"a\r\n*1\r\n$8\r\nFLUSHALL"]);
        assert_eq!(sent.expose(), b"*2\r\n$3\r\nGET\r\n$19\r\na\r\n*1\r\n$8\r\nFLUSHALL\r\n");
    }

    #[test]
    fn a_peer_that_lies_is_refused_before_anything_is_reserved() {
        for lie in [
            &b"$9223372036854775807\r\n"[..],
            b"$99999999999999999999\r\n",
            b"$-2\r\n",
            b"*2147483647\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
            b"%1\r\n+a\r\n+b\r\n",
            b"\r\n",
            b"+a\n",
            b"+\xff\r\n",
            b"$1\r\nab\r\n",
            b":12x\r\n",
        ] {
            assert_eq!(read(lie).map(|_| ()), Err(Broken::Garbled), "{lie:?}");
        }
        let endless = vec![b'+'; MAX_LINE * 2];
        assert_eq!(read(&endless).map(|_| ()), Err(Broken::Garbled));
        let many = [b"*150000\r\n".as_slice(), &b"*2\r\n+a\r\n+b\r\n".repeat(150_000)].concat();
        assert_eq!(read(&many).map(|_| ()), Err(Broken::Garbled));
    }

    #[test]
    fn a_reply_that_ends_early_is_a_lost_connection() {
        for cut in [&b""[..], b"+O", b"$5\r\nab", b"*2\r\n:1\r\n", b"$2\r\nab"] {
            assert_eq!(read(cut).map(|_| ()), Err(Broken::Lost), "{cut:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_reply_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ended = read(&bytes);
        }

        #[test]
        fn what_is_sent_reads_back(arguments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..8)) {
            let borrowed: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
            let sent = command(&borrowed);
            let Ok(Reply::Array(Some(items))) = read(sent.expose()) else { panic!("an array") };
            let back: Vec<Vec<u8>> = items.into_iter().map(|item| match item {
                Reply::Bulk(Some(bytes)) => bytes.expose().clone(),
                _ => panic!("bytes"),
            }).collect();
            prop_assert_eq!(back, arguments);
        }
    }
}

//! A second look at a request's head, below hyper.
//!
//! hyper takes a head that names both a length and a coding (it lets the coding count and closes afterwards), equal
//! lengths given twice, and lines that end without a carriage return. Whoever stands before this server may read such a
//! head differently and be made to pass on a hidden request (RFC 9112, sections 2.2, 6.1 and 11.2), so it is refused.
//! hyper drops what would tell from the headers that it hands on; hence this scan of the bytes themselves.

/// Reads a head as it arrives. Bytes after its end are not looked at.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// The name at the beginning of this line, lower case, as far as it can matter.
    name: Vec<u8>,
    in_name: bool,
    /// Bytes in this line, its end not counted.
    line: usize,
    last: u8,
    /// Whether the request line is behind us: empty lines before it are nobody's end.
    begun: bool,
    ended: bool,
    bare: bool,
    lengths: usize,
    codings: usize,
}

/// The longest name that matters is `transfer-encoding`.
const NAME: usize = 18;

impl HeadScan {
    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.ended {
                return;
            }
            match byte {
                b'\n' => self.end_line(),
                b':' if self.in_name => self.end_name(),
                b'\r' => {}
                _ => {
                    if self.in_name && self.name.len() < NAME {
                        self.name.push(byte.to_ascii_lowercase());
                    }
                    self.line += 1;
                }
            }
            self.last = byte;
        }
    }

    /// Whether two readers could disagree about where this request ends.
    pub(crate) const fn is_ambiguous(&self) -> bool {
        self.bare || self.lengths + self.codings > 1
    }

    fn end_name(&mut self) {
        self.in_name = false;
        self.line += 1;
        match self.name.as_slice() {
            b"content-length" => self.lengths += 1,
            b"transfer-encoding" => self.codings += 1,
            _ => {}
        }
    }

    fn end_line(&mut self) {
        self.bare |= self.last != b'\r';
        self.ended = self.begun && self.line == 0;
        self.begun |= self.line > 0;
        self.line = 0;
        self.name.clear();
        self.in_name = self.begun;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ambiguous(head: &str) -> bool {
        let mut whole = HeadScan::default();
        whole.feed(head.as_bytes());
        let mut pieces = HeadScan::default();
        head.as_bytes().iter().for_each(|byte| pieces.feed(&[*byte]));
        assert_eq!(whole.is_ambiguous(), pieces.is_ambiguous(), "{head:?}");
        whole.is_ambiguous()
    }

    #[test]
    fn clear_heads_pass() {
        for head in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: c\n\n",
            "GET /?a=content-length: HTTP/1.1\r\nX-Content-Length: 1\r\nContent-Length: 1\r\nContent-Length-X: 2\r\n\r\n",
        ] {
            assert!(!is_ambiguous(head), "{head:?}");
        }
    }

    #[test]
    fn heads_with_two_readings_are_seen() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nHost: x\r\nCONTENT-length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(is_ambiguous(head), "{head:?}");
        }
    }
}

//! A hub on this machine that does as it is told, faults included: HTTP/1.1 over a plain socket, so that every byte of
//! an answer can be wrong.
#![allow(dead_code, reason = "each test target uses the part that it needs")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::Digest as _;

/// A request, as far as it matters.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Path and query, percent-encoded.
    pub(crate) target: String,
    /// First byte asked for.
    pub(crate) from: Option<u64>,
    /// `If-Range`.
    pub(crate) if_range: Option<String>,
    /// `Authorization`.
    pub(crate) authorization: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Status code.
    pub(crate) status: u16,
    /// Headers besides the length.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub(crate) body: Vec<u8>,
    /// Length to announce, if not the body's.
    pub(crate) announce: Option<u64>,
    /// Close the connection after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Silence before the last half of the body.
    pub(crate) silence: Duration,
    /// One byte at a time, with this pause.
    pub(crate) drip: Option<Duration>,
}

impl Reply {
    /// An answer of this status without faults.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            announce: None,
            cut: None,
            silence: Duration::ZERO,
            drip: None,
        }
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A file of a repository.
#[derive(Clone, Debug)]
pub(crate) struct Hosted {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Listed by SHA-256, as large files are.
    pub(crate) large: bool,
}

/// Repositories by `models/owner/name` or `datasets/owner/name`, and their commits by ref.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// Commit by repository and ref.
    pub(crate) refs: BTreeMap<(String, String), String>,
    /// Files by repository, commit and path.
    pub(crate) files: BTreeMap<(String, String, String), Hosted>,
}

impl Content {
    /// Adds a commit with files; `large` ones are those that end in `.safetensors`, `.bin` or `.parquet`.
    pub(crate) fn commit(&mut self, repository: &str, git_ref: &str, files: &[(&str, &[u8])]) -> String {
        let mut hash = sha1::Sha1::new();
        hash.update(repository);
        hash.update(git_ref);
        for (path, bytes) in files {
            hash.update(path);
            hash.update(bytes);
        }
        let commit = hex(&hash.finalize());
        self.refs.insert((repository.into(), git_ref.into()), commit.clone());
        for (path, bytes) in files {
            let large = [".safetensors", ".bin", ".parquet"].iter().any(|end| path.ends_with(end));
            let file = Hosted { bytes: bytes.to_vec(), large };
            self.files.insert((repository.into(), commit.clone(), (*path).into()), file);
        }
        commit
    }

    /// What a faultless hub answers.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let target = request.target.split('?').next().unwrap_or_default();
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        let parts: Vec<String> = target.trim_matches('/').split('/').map(unescape).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["api", "models"] => self.search(query),
            ["api", kind, owner, name, "revision", revision] => {
                match self.resolve(&format!("{kind}/{owner}/{name}"), revision) {
                    Some(commit) => {
                        json(serde_json::json!({ "id": format!("{owner}/{name}"), "sha": commit }))
                    }
                    None => Reply::new(404, "{}").header("x-error-code", "RevisionNotFound"),
                }
            }
            ["api", kind, owner, name, "refs"] => {
                let repository = format!("{kind}/{owner}/{name}");
                let of_it = self.refs.iter().filter(|((known, _), _)| *known == repository);
                let branches: Vec<_> = of_it
                    .map(|((_, name), commit)| {
                        serde_json::json!({ "name": name, "ref": format!("refs/heads/{name}"), "targetCommit": commit })
                    })
                    .collect();
                json(serde_json::json!({ "branches": branches, "tags": [], "converts": [] }))
            }
            ["api", kind, owner, name, "tree", commit] => {
                self.tree(&format!("{kind}/{owner}/{name}"), commit)
            }
            ["datasets", owner, name, "resolve", commit, path @ ..] => {
                self.file(&format!("datasets/{owner}/{name}"), commit, &path.join("/"), request)
            }
            [owner, name, "resolve", commit, path @ ..] => {
                self.file(&format!("models/{owner}/{name}"), commit, &path.join("/"), request)
            }
            _ => Reply::new(404, "not found"),
        }
    }

    fn resolve(&self, repository: &str, revision: &str) -> Option<String> {
        self.refs.get(&(repository.into(), revision.into())).cloned()
    }

    fn search(&self, query: &str) -> Reply {
        let value = |name: &str| {
            query.split('&').find_map(|pair| Some(unescape(pair.strip_prefix(name)?.strip_prefix('=')?)))
        };
        let (author, search) = (value("author").unwrap_or_default(), value("search").unwrap_or_default());
        let mut ids: Vec<&str> =
            self.refs.keys().filter_map(|(known, _)| known.strip_prefix("models/")).collect();
        ids.dedup();
        let found: Vec<_> = ids
            .into_iter()
            .filter(|id| id.starts_with(&format!("{author}/")) && id.contains(&search))
            .map(|id| serde_json::json!({ "id": id }))
            .collect();
        json(found.into())
    }

    fn tree(&self, repository: &str, commit: &str) -> Reply {
        let files: Vec<_> = self
            .files
            .iter()
            .filter(|((known, at, _), _)| known == repository && at == commit)
            .map(|((_, _, path), file)| {
                let mut entry = serde_json::json!({
                    "type": "file", "path": path, "size": file.bytes.len(), "oid": git_blob(&file.bytes),
                });
                if file.large {
                    let oid = hex(&sha2::Sha256::digest(&file.bytes));
                    entry["lfs"] =
                        serde_json::json!({ "oid": oid, "size": file.bytes.len(), "pointerSize": 134 });
                }
                entry
            })
            .collect();
        if files.is_empty() { Reply::new(404, "{}") } else { json(files.into()) }
    }

    fn file(&self, repository: &str, commit: &str, path: &str, request: &Request) -> Reply {
        let Some(file) = self.files.get(&(repository.into(), commit.into(), path.into())) else {
            return Reply::new(404, "Entry not found").header("x-error-code", "EntryNotFound");
        };
        let etag = format!("\"{}\"", git_blob(&file.bytes));
        let from = request.from.filter(|_| request.if_range.as_ref().is_none_or(|wanted| *wanted == etag));
        serve(&file.bytes, from, &etag)
    }
}

/// A file from `from` on, as a server that knows `Range` sends it.
pub(crate) fn serve(bytes: &[u8], from: Option<u64>, etag: &str) -> Reply {
    let reply = match from {
        None => Reply::new(200, bytes),
        Some(from) if from as usize >= bytes.len() => Reply::new(416, ""),
        Some(from) => Reply::new(206, &bytes[from as usize..])
            .header("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())),
    };
    reply.header("ETag", etag)
}

fn json(value: serde_json::Value) -> Reply {
    Reply::new(200, value.to_string()).header("Content-Type", "application/json")
}

fn git_blob(bytes: &[u8]) -> String {
    let mut hash = sha1::Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let code = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match code {
            Some(byte) => (bytes.push(byte), rest = &tail[2..]).1,
            None => (bytes.push(*first), rest = tail).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A server that answers until it is dropped.
pub(crate) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<std::sync::atomic::AtomicBool>,
    port: u16,
}

impl Server {
    /// Serves `content`, but for requests that `fault` answers. It is told how often the same target was asked for
    /// before.
    pub(crate) fn start(
        content: Content,
        fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (log, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let answer = Arc::new(move |request: &Request| {
            let mut log = log.lock().expect("no panic holds it");
            let before = log.iter().filter(|old: &&Request| old.target == request.target).count();
            log.push(request.clone());
            drop(log);
            fault(request, before).unwrap_or_else(|| content.answer(request))
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), answer) = (stream, Arc::clone(&answer)) else { continue };
                std::thread::spawn(move || {
                    // A client that hangs up is no fault of the server's.
                    let _ = converse(stream, &*answer);
                });
            }
        });
        Self { address: format!("http://127.0.0.1:{port}"), requests, stop, port }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic holds it").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn converse(stream: TcpStream, answer: &dyn Fn(&Request) -> Reply) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { target, from: None, if_range: None, authorization: None };
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim().to_owned();
        match name.to_lowercase().as_str() {
            "range" => {
                request.from =
                    value.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok())
            }
            "if-range" => request.if_range = Some(value),
            "authorization" => request.authorization = Some(value),
            _ => {}
        }
    }
    let reply = answer(&request);
    let mut stream = stream;
    let length = reply.announce.unwrap_or(reply.body.len() as u64);
    let mut head =
        format!("HTTP/1.1 {} X\r\nContent-Length: {length}\r\nConnection: close\r\n", reply.status);
    // What an answer says of this server's own address is known here alone.
    let host = stream.local_addr()?.to_string();
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {}\r\n", value.replace("HOST", &host)));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    let body = &reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())];
    for byte in body.iter().filter(|_| reply.drip.is_some()) {
        stream.write_all(&[*byte])?;
        stream.flush()?;
        std::thread::sleep(reply.drip.unwrap_or_default());
    }
    let body = if reply.drip.is_some() { &[] } else { body };
    let (first, last) = body.split_at(body.len() / 2);
    stream.write_all(first)?;
    stream.flush()?;
    std::thread::sleep(reply.silence);
    stream.write_all(last)?;
    stream.flush()?;
    stream.shutdown(Shutdown::Write)
}

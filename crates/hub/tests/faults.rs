//! Every way a server can fail: what is on the disk afterwards is right, or is not there.

mod server;

use std::path::Path;
use std::time::Duration;

use hub::{Commit, Error, Hub, Kind, RemoteFile, Repository, Settings, Token};
use server::{Content, Reply, Request, Server, serve};

const FILE: &str = "model.safetensors";

fn bytes() -> Vec<u8> {
    (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn content() -> (Content, String) {
    let mut content = Content::default();
    let commit = content.commit("models/a/b", "main", &[(FILE, &bytes()), ("config.json", b"{}")]);
    (content, commit)
}

fn settings(server: &Server) -> Settings {
    Settings {
        endpoint: server.address().into(),
        token: None,
        offline: false,
        cache: "/nowhere".into(),
        timeout: Duration::from_millis(400),
        attempts: 3,
        pause: Duration::from_millis(1),
    }
}

/// A server with a fault for the large file alone, and what downloading it from there comes to.
fn download(
    to: &Path,
    fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> (Result<(), Error>, Vec<Request>) {
    let (content, _) = content();
    let server = Server::start(content, move |request, before| {
        (request.target.contains("/resolve/")).then(|| fault(request, before)).flatten()
    });
    let hub = Hub::connect(settings(&server)).unwrap();
    let repository = Repository::new(Kind::Model, "a/b").unwrap();
    let commit = hub.commit(&repository, "main").unwrap();
    let files = hub.files(&repository, &commit).unwrap().files;
    let file = files.iter().find(|file| file.path == FILE).unwrap();
    let result = hub.download(&repository, &commit, file, to, &mut |_| {});
    let requests =
        server.requests().into_iter().filter(|request| request.target.contains("/resolve/")).collect();
    (result, requests)
}

/// Where a download goes in a test.
struct Target(tempfile::TempDir);

impl Target {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("part")
    }

    fn assert_whole(&self) {
        assert!(std::fs::read(self.path()).unwrap() == bytes(), "the file is not what the server has");
    }

    fn len(&self) -> u64 {
        std::fs::metadata(self.path()).unwrap().len()
    }
}

#[test]
fn a_commit_its_refs_and_its_files() {
    let (content, commit) = content();
    let server = Server::start(content, |_, _| None);
    let hub = Hub::connect(settings(&server)).unwrap();
    let repository = Repository::new(Kind::Model, "a/b").unwrap();
    assert_eq!(hub.commit(&repository, "main").unwrap().as_str(), commit);
    let refs = hub.refs(&repository).unwrap();
    assert_eq!((refs[0].name.as_str(), refs[0].commit.as_str()), ("main", commit.as_str()));
    assert_eq!(hub.models_of("a", "b").unwrap(), ["a/b"]);
    assert!(hub.models_of("a", "c").unwrap().is_empty());
    let files = hub.files(&repository, &Commit::new(&commit).unwrap()).unwrap();
    let listed: Vec<(&str, u64)> = files.files.iter().map(|file| (file.path.as_str(), file.size)).collect();
    assert_eq!(listed, [("config.json", 2), (FILE, 200_000)]);
    assert!(matches!(hub.commit(&repository, "other"), Err(Error::NotFound { .. })));
    let missing = Repository::new(Kind::Model, "a/c").unwrap();
    let error = hub.files(&missing, &Commit::new(&commit).unwrap()).unwrap_err().to_string();
    assert!(error.contains("the files of a/c") && error.contains("404"), "{error}");
}

#[test]
fn a_whole_file_in_one_request() {
    let target = Target::new();
    let (result, requests) = download(&target.path(), |_, _| None);
    result.unwrap();
    target.assert_whole();
    assert_eq!(requests.len(), 1);
}

#[test]
fn a_short_body_is_gone_on_from() {
    let target = Target::new();
    let (result, requests) = download(&target.path(), |request, before| {
        let mut reply = serve(&bytes(), request.from, "\"x\"");
        reply.cut = (before < 4).then_some(50_000);
        Some(reply)
    });
    result.unwrap();
    target.assert_whole();
    let from: Vec<Option<u64>> = requests.iter().map(|request| request.from).collect();
    assert_eq!(from, [None, Some(50_000), Some(100_000), Some(150_000)]);
}

/// A process that was killed leaves a part; another goes on from it.
#[test]
fn an_earlier_part_is_gone_on_from_or_replaced() {
    let target = Target::new();
    std::fs::write(target.path(), &bytes()[..120_000]).unwrap();
    let (result, requests) = download(&target.path(), |_, _| None);
    result.unwrap();
    target.assert_whole();
    assert_eq!(requests[0].from, Some(120_000));

    for damaged in [vec![7; 120_000], vec![7; 200_000], vec![7; 300_000]] {
        std::fs::write(target.path(), damaged).unwrap();
        let (result, _) = download(&target.path(), |_, _| None);
        result.unwrap();
        target.assert_whole();
    }
}

#[test]
fn a_server_that_ignores_range_sends_all_again() {
    let target = Target::new();
    let (result, requests) = download(&target.path(), |_, before| {
        let mut reply = Reply::new(200, bytes());
        reply.cut = (before == 0).then_some(70_000);
        Some(reply)
    });
    result.unwrap();
    target.assert_whole();
    assert_eq!(requests.len(), 2);
}

#[test]
fn content_that_changes_on_the_way_is_begun_anew() {
    let target = Target::new();
    let (result, requests) = download(&target.path(), |request, before| {
        // The first answer is of other bytes, under another name; a careless server then goes on with the right ones.
        let mut reply = match before {
            0 => serve(&[7; 200_000], None, "\"old\""),
            _ => serve(&bytes(), request.from, "\"new\""),
        };
        reply.cut = (before == 0).then_some(70_000);
        Some(reply)
    });
    result.unwrap();
    target.assert_whole();
    assert_eq!(requests[1].if_range.as_deref(), Some("\"old\""));
    assert_eq!(requests[2].from, None);
}

#[test]
fn an_etag_that_is_a_path_is_only_compared() {
    let target = Target::new();
    let (result, _) =
        download(&target.path(), |request, _| Some(serve(&bytes(), request.from, "\"../../../etc/passwd\"")));
    result.unwrap();
    target.assert_whole();
    assert_eq!(std::fs::read_dir(target.0.path()).unwrap().count(), 1, "nothing lies beside the file");
}

#[test]
fn busy_servers_are_asked_again_and_given_up_on() {
    let target = Target::new();
    for status in [429, 500, 503] {
        let (result, requests) = download(&target.path(), move |_, before| {
            (before < 2).then(|| Reply::new(status, "<html>busy</html>").header("Retry-After", "0"))
        });
        result.unwrap();
        target.assert_whole();
        assert_eq!(requests.len(), 3);
        std::fs::remove_file(target.path()).unwrap();
    }
    let (result, requests) = download(&target.path(), |_, _| Some(Reply::new(503, "busy")));
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("503") && error.contains("tried 3 times") && error.contains("run it again"),
        "{error}"
    );
    assert_eq!((requests.len(), target.len()), (3, 0));
}

#[test]
fn refusals_are_final_and_say_what_helps() {
    let target = Target::new();
    for (status, words) in [(401, "HF_TOKEN"), (403, "terms"), (404, "no such thing")] {
        let (result, requests) = download(&target.path(), move |_, _| Some(Reply::new(status, bytes())));
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains(&status.to_string()) && error.contains(words) && error.contains(FILE),
            "{error}"
        );
        assert_eq!((requests.len(), target.len()), (1, 0), "the body of a refusal is not the file");
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let target = Target::new();
    for len in [199_999, 200_001] {
        let (result, _) = download(&target.path(), move |_, _| Some(Reply::new(200, vec![7; len])));
        let error = result.unwrap_err().to_string();
        assert!(error.contains("200000 bytes are listed") && error.contains(&len.to_string()), "{error}");
        assert_eq!(target.len(), 0);
    }
    // Without an announcement, the bytes themselves tell.
    let (result, _) = download(&target.path(), |_, _| {
        let mut reply = Reply::new(200, vec![7; 300_000]).header("Transfer-Encoding", "chunked");
        reply.body = [b"493E0\r\n".as_slice(), &reply.body, b"\r\n0\r\n\r\n"].concat();
        Some(reply)
    });
    assert!(result.is_err());
    assert_eq!(target.len(), 0);
}

#[test]
fn wrong_bytes_of_the_right_length_are_refused() {
    let target = Target::new();
    let (result, _) = download(&target.path(), |_, _| Some(Reply::new(200, vec![7; 200_000])));
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    assert_eq!(target.len(), 0);
}

#[test]
fn a_range_that_is_another_is_begun_anew() {
    let target = Target::new();
    let (result, _) = download(&target.path(), |request, before| match before {
        0 => Some(Reply { cut: Some(60_000), ..serve(&bytes(), None, "\"x\"") }),
        1 => Some(
            Reply::new(206, bytes()[..140_000].to_vec()).header("Content-Range", "bytes 0-139999/200000"),
        ),
        _ => Some(serve(&bytes(), request.from, "\"x\"")),
    });
    result.unwrap();
    target.assert_whole();
}

#[test]
fn silence_is_not_waited_for_for_ever() {
    let target = Target::new();
    let (result, requests) = download(&target.path(), |request, before| {
        let mut reply = serve(&bytes(), request.from, "\"x\"");
        if before == 0 {
            reply.silence = Duration::from_secs(5);
        }
        Some(reply)
    });
    result.unwrap();
    target.assert_whole();
    assert_eq!(requests[1].from, Some(100_000));
}

#[test]
fn a_server_that_is_not_there() {
    let address = {
        let server = Server::start(Content::default(), |_, _| None);
        server.address().to_owned()
    };
    let settings = Settings {
        endpoint: address,
        token: Some(Token::new("hf_secret".into())),
        offline: false,
        cache: "/nowhere".into(),
        timeout: Duration::from_millis(400),
        attempts: 2,
        pause: Duration::from_millis(1),
    };
    let hub = Hub::connect(settings.clone()).unwrap();
    let repository = Repository::new(Kind::Model, "a/b").unwrap();
    let error = hub.commit(&repository, "main").unwrap_err().to_string();
    assert!(error.contains("a/b at revision `main`") && !error.contains("secret"), "{error}");
    let offline =
        Hub::connect(Settings { offline: true, ..settings.clone() }).map(|_| ()).unwrap_err().to_string();
    assert!(offline.contains("HF_HUB_OFFLINE"), "{offline}");
    let nonsense = Hub::connect(Settings { endpoint: "ftp://x".into(), ..settings }).map(|_| ()).unwrap_err();
    assert!(nonsense.to_string().starts_with("HF_ENDPOINT: "), "{nonsense}");
}

#[test]
fn the_token_goes_to_the_endpoint_alone() {
    let (content, _) = content();
    let elsewhere =
        Server::start(Content::default(), |request, _| Some(serve(&bytes(), request.from, "\"x\"")));
    let there = format!("http://localhost:{}/blob", elsewhere.address().rsplit(':').next().unwrap());
    let server = Server::start(content, move |request, _| {
        request.target.contains("/resolve/").then(|| Reply::new(302, "").header("Location", there.clone()))
    });
    let hub =
        Hub::connect(Settings { token: Some(Token::new("hf_secret".into())), ..settings(&server) }).unwrap();
    let repository = Repository::new(Kind::Model, "a/b").unwrap();
    let commit = hub.commit(&repository, "main").unwrap();
    let file =
        hub.files(&repository, &commit).unwrap().files.into_iter().find(|file| file.path == FILE).unwrap();
    let target = Target::new();
    hub.download(&repository, &commit, &file, &target.path(), &mut |_| {}).unwrap();
    target.assert_whole();
    let sent = |requests: Vec<Request>| requests.into_iter().all(|request| request.authorization.is_some());
    assert!(sent(server.requests()) && !sent(elsewhere.requests()));
}

#[test]
fn listings_that_lie_are_refused() {
    let lie = |body: &'static str| {
        let (content, _) = content();
        let server = Server::start(content, move |request, _| {
            request.target.contains("/tree/").then(|| Reply::new(200, body))
        });
        let hub = Hub::connect(settings(&server)).unwrap();
        let repository = Repository::new(Kind::Model, "a/b").unwrap();
        let commit = hub.commit(&repository, "main").unwrap();
        hub.files(&repository, &commit)
    };
    let traversal =
        r#"[{"type":"file","oid":"ce013625030ba8dba906f756967f9e9ca394464a","size":1,"path":"../x"}]"#;
    let listing = lie(traversal).unwrap();
    assert!(listing.files.is_empty() && listing.refused[0].0 == "../x", "{listing:?}");
    assert!(matches!(lie("<html>login</html>"), Err(Error::Answer { .. })));
}

/// A page that points at another server would take the token with it, also where its address begins as the right one.
#[test]
fn the_next_page_is_of_the_same_server() {
    for path in ["/tree/", "/api/models?"] {
        let spy = Server::start(Content::default(), |_, _| Some(Reply::new(200, "[]")));
        for elsewhere in [
            "http://example.org/next",
            "http://HOST@example.org/next",
            "http://HOST.example.org/next",
            &format!("{}/next", spy.address()),
            &format!("{}/next", spy.address().replace("127.0.0.1", "localhost")),
        ] {
            let (content, _) = content();
            let link = format!("<{elsewhere}>; rel=\"next\"");
            let server = Server::start(content, move |request, _| {
                request.target.contains(path).then(|| Reply::new(200, "[]").header("Link", link.clone()))
            });
            let token = Some(Token::new("hf_secret".into()));
            let hub = Hub::connect(Settings { token, ..settings(&server) }).unwrap();
            let repository = Repository::new(Kind::Model, "a/b").unwrap();
            let commit = hub.commit(&repository, "main").unwrap();
            let error = match path {
                "/tree/" => hub.files(&repository, &commit).unwrap_err(),
                _ => hub.models_of("a", "").unwrap_err(),
            };
            assert!(matches!(&error, Error::Answer { .. }), "{error}");
            assert!(error.to_string().contains("/next"), "{error}");
        }
        assert!(spy.requests().is_empty(), "{:?}", spy.requests());
    }
}

/// A server that answers without end, in circles or byte by byte takes neither memory nor hours.
#[test]
fn answers_without_end_end() {
    let ask = |fault: fn(&Request, usize) -> Option<Reply>| {
        let (content, _) = content();
        let server = Server::start(content, fault);
        let hub = Hub::connect(settings(&server)).unwrap();
        hub.models_of("a", "").unwrap_err().to_string()
    };
    let circle =
        ask(|_, _| Some(Reply::new(200, "[]").header("Link", "<http://HOST/api/models?x>; rel=\"next\"")));
    assert!(circle.contains("more than 1000 pages"), "{circle}");
    let large = ask(|_, _| Some(Reply::new(200, vec![b' '; 33 << 20])));
    assert!(large.contains("larger than"), "{large}");
    let drip = ask(|_, _| {
        Some(Reply { drip: Some(Duration::from_millis(100)), ..Reply::new(200, vec![b' '; 1_000]) })
    });
    assert!(drip.contains("takes more than 4 s"), "{drip}");
    let deep = ask(|_, _| Some(Reply::new(200, vec![b'['; 100_000])));
    assert!(deep.contains("makes no sense"), "{deep}");
}

#[test]
fn a_download_that_hardly_advances_is_given_up() {
    let target = Target::new();
    let (result, requests) = download(&target.path(), |request, _| {
        Some(Reply { drip: Some(Duration::from_millis(50)), ..serve(&bytes(), request.from, "\"x\"") })
    });
    let error = result.unwrap_err().to_string();
    assert!(error.contains("bytes in 0.4 s") && error.contains("tried 3 times"), "{error}");
    assert_eq!(requests.len(), 3);
    // A byte for each connection is no progress either.
    let (result, requests) = download(&target.path(), |request, _| {
        Some(Reply { cut: Some(1), ..serve(&bytes(), request.from, "\"x\"") })
    });
    assert!(result.is_err());
    assert_eq!(requests.len(), 3);
}

#[test]
fn an_address_with_a_password_is_refused_without_showing_it() {
    let (content, _) = content();
    let server = Server::start(content, |_, _| None);
    let endpoint = server.address().replace("http://", "http://me:secret@");
    let error = Hub::connect(Settings { endpoint, ..settings(&server) }).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("HF_ENDPOINT: ") && !error.contains("secret"), "{error}");
}

#[test]
fn a_listing_comes_in_pages_and_one_that_is_cut_is_asked_for_again() {
    let (whole, _) = content();
    let commits = whole.clone();
    let server = Server::start(whole, move |request, before| {
        let target = request.target.clone();
        let tree = target.find("/tree/")?;
        let list: serde_json::Value = serde_json::from_slice(&commits.answer(request).body).ok()?;
        let entries = list.as_array()?;
        if !target.contains("page=2") {
            let next =
                format!("<http://HOST{}/tree/{}&page=2>; rel=\"next\"", &target[..tree], &target[tree + 6..]);
            let body = serde_json::to_vec(&entries[..1]).ok()?;
            let cut = (before == 0).then_some(body.len() / 2);
            return Some(Reply { cut, ..Reply::new(200, body) }.header("Link", next));
        }
        Some(Reply::new(200, serde_json::to_vec(&entries[1..]).ok()?))
    });
    let hub = Hub::connect(settings(&server)).unwrap();
    let repository = Repository::new(Kind::Model, "a/b").unwrap();
    let commit = hub.commit(&repository, "main").unwrap();
    let files = hub.files(&repository, &commit).unwrap().files;
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["config.json", FILE]);
    let pages = server.requests().iter().filter(|request| request.target.contains("/tree/")).count();
    assert_eq!(pages, 3, "the first page twice");
}

#[test]
fn a_commit_that_is_none_is_refused() {
    let (content, _) = content();
    let server = Server::start(content, |request, _| {
        request.target.contains("/revision/").then(|| Reply::new(200, r#"{"id":"a/b","sha":"../../x"}"#))
    });
    let hub = Hub::connect(settings(&server)).unwrap();
    let error = hub.commit(&Repository::new(Kind::Model, "a/b").unwrap(), "main").unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
}

#[test]
fn an_empty_file() {
    let mut content = Content::default();
    content.commit("datasets/a/b", "main", &[("x/empty.txt", b"")]);
    let server = Server::start(content, |_, _| None);
    let hub = Hub::connect(settings(&server)).unwrap();
    let repository = Repository::new(Kind::Dataset, "a/b").unwrap();
    let commit = hub.commit(&repository, "main").unwrap();
    let files: Vec<RemoteFile> = hub.files(&repository, &commit).unwrap().files;
    let target = Target::new();
    hub.download(&repository, &commit, &files[0], &target.path(), &mut |_| {}).unwrap();
    assert_eq!(target.len(), 0);
}

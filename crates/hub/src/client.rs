//! The hub's interface: from a revision to a commit, from a commit to its files, from a pattern to what there is.

use std::future::Future;

use reqwest::header::{HeaderMap, LINK, RETRY_AFTER};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::tree::Listing;
use crate::{Commit, Error, Kind, Repository, Settings, names, tree};

/// Bytes of one page of a listing, at most: a thousand files take a quarter of a megabyte.
const LARGEST_PAGE: usize = 32 << 20;

/// Bytes of all pages of a listing, at most.
const LARGEST_LISTING: usize = 256 << 20;

/// Pages of a listing, at most: a server may point in circles.
const MOST_PAGES: usize = 1_000;

/// A page takes this many times the longest silence, at most: one that comes byte by byte is never silent.
const LONGEST_PAGE: u32 = 10;

/// A connection to the hub, or to a mirror of it.
pub struct Hub {
    pub(crate) settings: Settings,
    pub(crate) http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// A branch or a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitRef {
    /// Its short name: `main`, `step143000`.
    pub name: String,
    /// Where it points.
    pub commit: Commit,
}

impl Hub {
    /// Makes ready to ask; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Offline`] if the network is switched off, [`Error::Setting`] for an address that is none.
    pub fn connect(settings: Settings) -> Result<Self, Error> {
        if settings.offline {
            return Err(Error::Offline { what: "the hub".into(), cache: settings.cache });
        }
        let wrong = |reason: String| Error::Setting { setting: "HF_ENDPOINT", reason };
        let address = reqwest::Url::parse(&settings.endpoint)
            .map_err(|error| wrong(format!("{:?} is no address: {error}", settings.endpoint)))?;
        if !matches!(address.scheme(), "http" | "https") || address.host().is_none() {
            return Err(wrong(format!("{:?} does not begin with http:// or https://", settings.endpoint)));
        }
        if !address.username().is_empty() || address.password().is_some() {
            return Err(wrong(
                "it holds a name or a password, which messages would show: set HF_TOKEN".into(),
            ));
        }
        // A redirect to a content server is usual; one that gives up encryption is not.
        let redirect = reqwest::redirect::Policy::custom(|attempt| {
            let was_secure = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
            if attempt.previous().len() > 10 {
                attempt.error("more than ten redirects")
            } else if was_secure && attempt.url().scheme() != "https" {
                attempt.error("a redirect from https to another scheme")
            } else {
                attempt.follow()
            }
        });
        let http = reqwest::Client::builder()
            .user_agent(concat!("samebasin/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.timeout)
            .read_timeout(settings.timeout)
            .redirect(redirect)
            .build()
            .map_err(|error| wrong(chain(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("starting a runtime for the network"))?;
        Ok(Self { settings, http, runtime })
    }

    /// The server's address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// The commit that a revision (branch, tag, commit) is now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Denied`], [`Error::Network`], [`Error::Answer`].
    pub fn commit(&self, repository: &Repository, revision: &str) -> Result<Commit, Error> {
        if let Ok(commit) = Commit::new(revision) {
            return Ok(commit);
        }
        names::revision(revision)?;
        let what = format!("{repository} at revision `{revision}`");
        let address = self.api(repository, &format!("revision/{}", names::escape(revision, false)));
        let (_, body) = self.wait(self.page(&what, &address))?;
        let Info { sha } = read(&what, &body)?;
        sha.as_deref().and_then(|sha| Commit::new(sha).ok()).ok_or_else(|| Error::Answer {
            what,
            reason: match sha {
                Some(sha) => format!("{:?} is no commit", sha.chars().take(80).collect::<String>()),
                None => "it names no commit".into(),
            },
        })
    }

    /// Branches and tags, by name.
    ///
    /// # Errors
    /// As [`Hub::commit`].
    pub fn refs(&self, repository: &Repository) -> Result<Vec<GitRef>, Error> {
        let what = format!("the branches and tags of {repository}");
        let (_, body) = self.wait(self.page(&what, &self.api(repository, "refs")))?;
        let Refs { branches, tags } = read(&what, &body)?;
        let mut found = Vec::new();
        for Ref { name, target_commit } in branches.into_iter().chain(tags) {
            let senseless = |error: Error| Error::Answer { what: what.clone(), reason: error.to_string() };
            names::revision(&name).map_err(senseless)?;
            let commit = Commit::new(&target_commit).map_err(senseless)?;
            found.push(GitRef { name, commit });
        }
        found.sort();
        Ok(found)
    }

    /// Names of an owner's model repositories that contain `search`, sorted.
    ///
    /// # Errors
    /// As [`Hub::commit`].
    pub fn models_of(&self, owner: &str, search: &str) -> Result<Vec<String>, Error> {
        let first = format!(
            "{}/api/models?author={}&search={}&limit=1000",
            self.settings.endpoint,
            names::escape(owner, false),
            names::escape(search, false)
        );
        let what = format!("the models of `{owner}`");
        let mut listed = Vec::new();
        self.pages(&what, first, |body| {
            let models: Vec<Model> = read(&what, body)?;
            listed.extend(models.into_iter().map(|model| model.id));
            Ok(())
        })?;
        listed.retain(|id| id.starts_with(&format!("{owner}/")) && Repository::new(Kind::Model, id).is_ok());
        listed.sort();
        listed.dedup();
        Ok(listed)
    }

    /// The files of a commit, with sizes and digests, by path.
    ///
    /// # Errors
    /// As [`Hub::commit`].
    pub fn files(&self, repository: &Repository, commit: &Commit) -> Result<Listing, Error> {
        let what = format!("the files of {repository} at {commit}");
        let mut listing = Listing::default();
        self.pages(&what, self.api(repository, &format!("tree/{commit}?recursive=true")), |body| {
            listing.add(tree::page(repository, body)?);
            Ok(())
        })?;
        listing.files.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(twice) = listing.files.windows(2).find(|pair| pair[0].path == pair[1].path) {
            let reason = format!("`{}` is listed twice", twice[0].path);
            return Err(Error::Answer { what, reason });
        }
        Ok(listing)
    }

    /// An address of the interface about a repository.
    fn api(&self, repository: &Repository, rest: &str) -> String {
        let Settings { endpoint, .. } = &self.settings;
        format!("{endpoint}/api/{}/{}/{rest}", repository.kind().plural(), repository.id())
    }

    /// Hands `read` one page of a listing after the other.
    fn pages(
        &self,
        what: &str,
        first: String,
        mut read: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let senseless = |reason: String| Error::Answer { what: what.to_owned(), reason };
        let (mut next, mut bytes) = (first, 0);
        for _ in 0..MOST_PAGES {
            let (headers, body) = self.wait(self.page(what, &next))?;
            bytes += body.len();
            if bytes > LARGEST_LISTING {
                return Err(senseless(format!("it is larger than {LARGEST_LISTING} bytes")));
            }
            read(&body)?;
            next = match next_page(&headers) {
                None => return Ok(()),
                Some(next) if same_server(&next, &self.settings.endpoint) => next,
                Some(next) => return Err(senseless(format!("its next page is said to be at {next}"))),
            };
        }
        Err(senseless(format!("it has more than {MOST_PAGES} pages")))
    }

    /// One page of a listing, asked for again while the server is busy, unreachable or ends too soon.
    async fn page(&self, what: &str, address: &str) -> Result<(HeaderMap, Vec<u8>), Error> {
        let mut failed = 0;
        loop {
            let longest = self.settings.timeout.saturating_mul(LONGEST_PAGE);
            let (reason, pause) = match tokio::time::timeout(longest, self.whole(what, address)).await {
                Ok(Ok(page)) => return Ok(page),
                Ok(Err(Stop::Failed(error))) => return Err(error),
                Ok(Err(Stop::Interrupted { reason, asked })) => (reason, asked),
                Err(_elapsed) => (format!("a page of it takes more than {} s", longest.as_secs_f32()), None),
            };
            failed += 1;
            if failed >= self.settings.attempts {
                return Err(self.network(what, &reason, failed));
            }
            self.pause(failed, pause).await;
        }
    }

    /// The headers and the whole body of one answer.
    async fn whole(&self, what: &str, address: &str) -> Result<(HeaderMap, Vec<u8>), Stop> {
        let mut response = self.send(what, address, self.http.get(address)).await?;
        let status = response.status().as_u16();
        if is_busy(status) {
            return Err(Stop::busy(&response));
        }
        if !response.status().is_success() {
            return Err(Stop::Failed(self.refusal(what, meant(&response))));
        }
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| Stop::interrupted(&error))? {
            if body.len() + piece.len() > LARGEST_PAGE {
                let reason = format!("a page of it is larger than {LARGEST_PAGE} bytes");
                return Err(Stop::Failed(Error::Answer { what: what.into(), reason }));
            }
            body.extend_from_slice(&piece);
        }
        Ok((headers, body))
    }

    /// Does the asynchronous part of a call.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Sends a request to `address`: with the token, if there is one, to the endpoint alone.
    pub(crate) async fn send(
        &self,
        what: &str,
        address: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Stop> {
        let request = match &self.settings.token {
            Some(token) if same_server(address, &self.settings.endpoint) => {
                request.bearer_auth(token.secret())
            }
            _ => request,
        };
        let longest = self.settings.timeout.saturating_mul(2);
        let Ok(answer) = tokio::time::timeout(longest, request.send()).await else {
            let reason = format!("no answer in {} s", longest.as_secs_f32());
            return Err(Stop::Interrupted { reason, asked: None });
        };
        answer.map_err(|error| match error.is_redirect() || error.is_builder() {
            true => Stop::Failed(Error::Answer { what: what.into(), reason: chain(&error) }),
            false => Stop::interrupted(&error),
        })
    }

    /// Waits before the next attempt: as long as the server asks, a minute at most, or twice as long as before.
    pub(crate) async fn pause(&self, failed: u32, asked: Option<u64>) {
        let longest = std::time::Duration::from_secs(60);
        let doubled = self.settings.pause.saturating_mul(1 << (failed - 1).min(10));
        let pause = asked.map_or(doubled, std::time::Duration::from_secs).min(longest);
        tokio::time::sleep(pause).await;
    }

    pub(crate) fn network(&self, what: &str, reason: &str, attempts: u32) -> Error {
        Error::Network { what: what.into(), reason: reason.into(), attempts }
    }

    /// What a status without success means.
    pub(crate) fn refusal(&self, what: &str, status: u16) -> Error {
        let what = what.to_owned();
        match status {
            404 | 410 => Error::NotFound { what, endpoint: self.settings.endpoint.clone(), status },
            401 | 403 => Error::Denied {
                what,
                status,
                advice: match self.settings.token {
                    None => "set HF_TOKEN, and accept the repository's terms on its page if it has some",
                    Some(_) => {
                        "the token in HF_TOKEN may not read it; accept the repository's terms on its page"
                    }
                },
            },
            _ => Error::Answer { what, reason: format!("status {status}") },
        }
    }
}

/// What the hub says of a revision.
#[derive(Deserialize)]
struct Info {
    sha: Option<String>,
}

/// Branches and tags.
#[derive(Deserialize)]
struct Refs {
    #[serde(default)]
    branches: Vec<Ref>,
    #[serde(default)]
    tags: Vec<Ref>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ref {
    name: String,
    target_commit: String,
}

/// A repository, as a search lists it.
#[derive(Deserialize)]
struct Model {
    id: String,
}

/// Reads an answer.
fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Answer { what: what.into(), reason: error.to_string() })
}

/// The status of a refusal. The hub hides what does not exist behind "not allowed", and says so in a header.
fn meant(response: &reqwest::Response) -> u16 {
    let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok());
    match code {
        Some("RepoNotFound" | "RevisionNotFound" | "EntryNotFound") => 404,
        _ => response.status().as_u16(),
    }
}

/// How a request ended without what was asked for.
pub(crate) enum Stop {
    /// Worth another attempt, after as many seconds as the server asks for.
    Interrupted { reason: String, asked: Option<u64> },
    /// Not worth one.
    Failed(Error),
}

impl Stop {
    pub(crate) fn interrupted(error: &reqwest::Error) -> Self {
        Self::Interrupted { reason: chain(error), asked: None }
    }

    /// The server has no time now.
    pub(crate) fn busy(response: &reqwest::Response) -> Self {
        let asked =
            response.headers().get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        Self::Interrupted { reason: format!("the server answers {}", response.status()), asked }
    }
}

/// Whether two addresses are of one server: scheme, host and port. Their beginnings do not tell (`https://a.org@b.org`).
fn same_server(a: &str, b: &str) -> bool {
    let origin = |address: &str| reqwest::Url::parse(address).ok().map(|url| url.origin());
    origin(a).is_some_and(|a| Some(a) == origin(b))
}

/// Whether it may be otherwise in a moment.
pub(crate) fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// An error with its causes: the outermost alone says little more than "it failed".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The address of the next page, from the header `Link: <...>; rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let part = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let (_, rest) = part.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

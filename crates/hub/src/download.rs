//! One file, from the hub to the disk: resumed where it stopped, and nothing that is not what was listed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, ETAG};

use crate::client::{Stop, is_busy};
use crate::{Check, Commit, Error, Hub, RemoteFile, Repository, names};

/// Bytes that must come within the longest silence: a server that sends less is as good as silent.
const LEAST: u64 = 1_024;

/// A download under way.
struct Download<'a> {
    hub: &'a Hub,
    /// What messages call the file.
    name: String,
    address: String,
    remote: &'a RemoteFile,
    file: File,
    /// Bytes on the disk.
    have: u64,
    /// Under which name the server keeps what is on the disk; compared, never used as a path.
    etag: Option<String>,
}

impl Hub {
    /// Downloads a file of a commit to `to`, going on from what is there, and checks its size and digest.
    ///
    /// After an error `to` holds the part that is worth going on from, or nothing. `progress` is told how many bytes
    /// are there.
    ///
    /// # Errors
    /// [`Error::Size`] and [`Error::Digest`] for bytes that are not those listed, [`Error::Network`] after
    /// [`Settings::attempts`](crate::Settings::attempts) attempts in a row that brought nothing, [`Error::NotFound`],
    /// [`Error::Denied`], [`Error::Io`].
    pub fn download(
        &self,
        repository: &Repository,
        commit: &Commit,
        remote: &RemoteFile,
        to: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        let opening = Error::io(format!("opening {}", to.display()));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(to)
            .map_err(opening)?;
        let have = file.metadata().map_err(Error::io(format!("reading {}", to.display())))?.len();
        let mut download = Download {
            hub: self,
            name: format!("{} of {repository} at {commit}", remote.path),
            address: format!(
                "{}/{}{}/resolve/{commit}/{}",
                self.settings.endpoint,
                repository.kind().prefix(),
                repository.id(),
                names::escape(&remote.path, true)
            ),
            remote,
            file,
            have,
            etag: None,
        };
        self.wait(download.run(progress))
    }
}

impl Download<'_> {
    async fn run(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
        if self.have > self.remote.size {
            self.restart()?;
        }
        // What an earlier process left may be damaged, and so deserves a second beginning.
        let mut may_restart = self.have > 0;
        let mut failed = 0;
        loop {
            if self.have == self.remote.size {
                match self.verify()? {
                    Ok(()) => return Ok(()),
                    Err(_) if may_restart => {
                        may_restart = false;
                        self.restart()?;
                    }
                    Err(found) => {
                        self.restart()?;
                        let expected = self.remote.digest.clone();
                        return Err(Error::Digest { file: self.name.clone(), expected, found });
                    }
                }
            }
            let before = self.have;
            let (reason, asked) = match self.receive(progress).await {
                Ok(()) => continue,
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Interrupted { reason, asked }) => (reason, asked),
            };
            // A server that gives a little each time is slow, not broken.
            failed = if self.have.saturating_sub(before) >= LEAST { 1 } else { failed + 1 };
            may_restart |= self.have > 0;
            if failed >= self.hub.settings.attempts {
                return Err(self.hub.network(&self.name, &reason, failed));
            }
            self.hub.pause(failed, asked).await;
        }
    }

    /// Asks for the rest and writes what comes.
    async fn receive(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), Stop> {
        let mut request = self.hub.http.get(&self.address).header("accept-encoding", "identity");
        if self.have > 0 {
            request = request.header("range", format!("bytes={}-", self.have));
            // A server that has something else now sends it from its beginning.
            if let Some(etag) = self.etag.as_ref().filter(|etag| !etag.starts_with("W/")) {
                request = request.header("if-range", etag);
            }
        }
        let mut response = self.hub.send(&self.name, &self.address, request).await?;
        self.admit(&response)?;
        let longest = self.hub.settings.timeout;
        let (mut since, mut had) = (Instant::now(), self.have);
        loop {
            let piece = response.chunk().await.map_err(|error| Stop::interrupted(&error))?;
            let Some(piece) = piece else { break };
            if self.have + piece.len() as u64 > self.remote.size {
                let found = format!("more than {}", self.remote.size);
                self.restart().map_err(Stop::Failed)?;
                return Err(Stop::Failed(self.size(found)));
            }
            self.file
                .write_all(&piece)
                .map_err(|error| Stop::Failed(Error::io(format!("writing {}", self.name))(error)))?;
            self.have += piece.len() as u64;
            progress(self.have);
            if self.have - had >= LEAST {
                (since, had) = (Instant::now(), self.have);
            } else if since.elapsed() > longest && self.have < self.remote.size {
                let reason = format!("only {} bytes in {} s", self.have - had, longest.as_secs_f32());
                return Err(Stop::Interrupted { reason, asked: None });
            }
        }
        match self.have == self.remote.size {
            true => Ok(()),
            false => Err(Stop::Interrupted {
                reason: format!("the server ended after {} of {} bytes", self.have, self.remote.size),
                asked: None,
            }),
        }
    }

    /// Looks at an answer's head: what follows must be the bytes from here on.
    fn admit(&mut self, response: &reqwest::Response) -> Result<(), Stop> {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = header(ETAG).map(str::to_owned);
        let announced = response.content_length();
        match response.status() {
            // From the beginning, asked for or not.
            StatusCode::OK => {
                self.restart().map_err(Stop::Failed)?;
                self.etag = etag;
                match announced.filter(|&announced| announced != self.remote.size) {
                    Some(announced) => Err(Stop::Failed(self.size(announced.to_string()))),
                    None => Ok(()),
                }
            }
            StatusCode::PARTIAL_CONTENT => {
                let changed = self.etag.is_some() && etag.is_some() && self.etag != etag;
                let expected = format!(
                    "bytes {}-{}/{}",
                    self.have,
                    self.remote.size.saturating_sub(1),
                    self.remote.size
                );
                if header(CONTENT_RANGE) == Some(expected.as_str()) && !changed {
                    self.etag = etag.or(self.etag.take());
                    return Ok(());
                }
                let reason = match changed {
                    true => "its content changed on the way".to_owned(),
                    false => {
                        format!("asked for `{expected}`, got {:?}", header(CONTENT_RANGE).unwrap_or_default())
                    }
                };
                self.restart().map_err(Stop::Failed)?;
                Err(Stop::Interrupted { reason, asked: None })
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                self.restart().map_err(Stop::Failed)?;
                Err(Stop::Interrupted {
                    reason: "the server has fewer bytes than were received".into(),
                    asked: None,
                })
            }
            status if is_busy(status.as_u16()) => Err(Stop::busy(response)),
            status => Err(Stop::Failed(self.hub.refusal(&self.name, status.as_u16()))),
        }
    }

    /// Forgets what is on the disk.
    fn restart(&mut self) -> Result<(), Error> {
        let writing = Error::io(format!("writing {}", self.name));
        self.have = 0;
        self.etag = None;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(writing)
    }

    /// Whether the bytes on the disk are those listed; else the digest that they have. Leaves the place at the end.
    fn verify(&mut self) -> Result<Result<(), crate::Digest>, Error> {
        let reading = |error| Error::io(format!("reading {}", self.name))(error);
        let mut check = Check::new(&self.remote.digest, self.remote.size);
        self.file.seek(SeekFrom::Start(0)).map_err(reading)?;
        let mut piece = vec![0; 1 << 20];
        loop {
            let n = self.file.read(&mut piece).map_err(reading)?;
            if n == 0 {
                return Ok(check.finish());
            }
            check.update(&piece[..n]);
        }
    }

    fn size(&self, found: String) -> Error {
        Error::Size { file: self.name.clone(), expected: self.remote.size, found }
    }
}

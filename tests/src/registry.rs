//! Debian's `docker-registry` on loopback: plain, with TLS of a test's authority, with logins.

use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::home::put;
use crate::run::{bare, eventually};

/// How long one may take to listen, on a machine that does much else.
const START_MAX: Duration = Duration::from_secs(60);

/// See the module; it ends with the test.
#[derive(Debug)]
pub struct Registry {
    folder: PathBuf,
    child: Child,
    port: u16,
    is_tls: bool,
    login: Option<(String, String)>,
}

impl Registry {
    /// Starts one that speaks plain HTTP to anybody.
    pub fn plain() -> Self {
        Self::start(false, None)
    }

    /// Starts one that speaks TLS, with a certificate of [`Registry::authority`].
    pub fn tls() -> Self {
        Self::start(true, None)
    }

    /// Starts one that speaks plain HTTP to one user.
    pub fn with_auth(user: &str, password: &str) -> Self {
        Self::start(false, Some((user.to_owned(), password.to_owned())))
    }

    fn start(is_tls: bool, login: Option<(String, String)>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("msb-registry-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a name of its own");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let at = folder.display();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {at}/data}}, delete: {{enabled: true}}}}\n"
        );
        if let Some((user, password)) = &login {
            let said = said(bare("/usr/bin/htpasswd").args(["-nbB", user, password]));
            put(&folder.join("htpasswd"), &said);
            let _ = writeln!(config, "auth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}");
        }
        let _ = writeln!(config, "http:\n  addr: 127.0.0.1:{port}");
        if is_tls {
            certify(&folder);
            let files = format!("certificate: {at}/server.pem, key: {at}/server.key");
            let _ = writeln!(config, "  tls: {{{files}}}");
        }
        let path = folder.join("config.yml");
        put(&path, &config);
        let log = fs::File::create(folder.join("log")).expect("a folder of our own");
        let mut command = bare("/usr/bin/docker-registry");
        let asked = fs::File::create(folder.join("asked")).expect("a folder of our own");
        command.arg("serve").arg(path).stdout(asked).stderr(log);
        let child = command.spawn().expect("Debian's docker-registry");
        let registry = Self { folder, child, port, is_tls, login };
        let listens = || TcpStream::connect(("127.0.0.1", port)).ok();
        drop(eventually("a registry listens", START_MAX, listens));
        registry
    }

    /// Returns host and port, as references write them.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns what it was asked so far, as `GET /v2/…`.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("asked")).expect("it is ours");
        let asked = |line: &str| Some(line.split('"').nth(1)?.rsplit_once(' ')?.0.to_owned());
        log.lines().filter_map(asked).collect()
    }

    /// Returns the file of the authority whose certificate it has.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Pushes an archive of an OCI layout, or of `docker save`, as `name:tag`.
    ///
    /// # Panics
    /// When it is neither, or is not taken.
    pub fn push(&self, archive: &Path, name: &str) {
        self.take(archive, name, &[]);
    }

    /// Pushes an archive byte for byte: its layers stay coded as they are.
    ///
    /// # Panics
    /// As [`Registry::push`].
    pub fn push_as_it_is(&self, archive: &Path, name: &str) {
        self.take(archive, name, &["--preserve-digests"]);
    }

    fn take(&self, archive: &Path, name: &str, words: &[&str]) {
        let forms = ["oci-archive", "docker-archive"];
        let tries = forms.map(|form| {
            let mut command = self.skopeo("copy", "dest-");
            command.args(words);
            command.arg(format!("{form}:{}", archive.display()));
            command.arg(format!("docker://{}/{name}", self.address()));
            command
        });
        let mut told = String::new();
        for mut command in tries {
            let output = command.output().expect("skopeo");
            if output.status.success() {
                return;
            }
            told.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        panic!("{}: {told}", archive.display());
    }

    /// Returns the digest of the manifest that `name:tag` stands for, as skopeo says.
    pub fn digest(&self, name: &str) -> String {
        let mut command = self.skopeo("inspect", "");
        command.args(["--format", "{{.Digest}}"]);
        command.arg(format!("docker://{}/{name}", self.address()));
        said(&mut command).trim().to_owned()
    }

    fn skopeo(&self, verb: &str, side: &str) -> Command {
        let mut command = bare("/usr/bin/skopeo");
        command.args(["--insecure-policy", verb]).env("HOME", &self.folder);
        if self.is_tls {
            let folder = self.folder.display();
            command.arg(format!("--{side}cert-dir={folder}/trusted"));
        } else {
            command.arg(format!("--{side}tls-verify=false"));
        }
        if let Some((user, password)) = &self.login {
            command.arg(format!("--{side}creds={user}:{password}"));
        }
        command.env("TMPDIR", &self.folder);
        command
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Makes an authority and a certificate of this host.
fn certify(folder: &Path) {
    let openssl = |line: &str| {
        said(bare("/usr/bin/openssl").args(line.split(' ')).current_dir(folder));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!(
        "req -x509 {key} -days 2 -subj /CN=ca -addext basicConstraints=critical,CA:TRUE \
         -keyout ca.key -out ca.crt"
    ));
    openssl(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
    put(&folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
         -extfile names -out server.pem",
    );
    fs::create_dir(folder.join("trusted")).expect("a folder of our own");
    fs::copy(folder.join("ca.crt"), folder.join("trusted/ca.crt")).expect("it was made");
}

fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("a program of Debian");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

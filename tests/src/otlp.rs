//! A receiver of OTLP that nobody here wrote, and what it was sent; see `tests/fixtures/otlp`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::home::{Home, put};
use crate::programs::checkout;
use crate::run::{bare, eventually};

/// How long a receiver may take to listen, on a machine that does much else.
const START_MAX: Duration = Duration::from_secs(60);

/// See the module; it ends with the test.
#[derive(Debug)]
pub struct Receiver {
    folder: PathBuf,
    python: PathBuf,
    certificates: Vec<PathBuf>,
    child: Child,
    /// The port on which it speaks gRPC.
    pub grpc: u16,
    /// The port on which it speaks HTTP.
    pub http: u16,
}

/// Certificates of a test: an authority, and what it signed.
#[derive(Debug)]
pub struct Certificates {
    /// The authority.
    pub authority: PathBuf,
    /// A server's certificate for `localhost`, and its key.
    pub server: (PathBuf, PathBuf),
    /// A client's certificate, and its key.
    pub client: (PathBuf, PathBuf),
}

impl Receiver {
    /// Starts one; none where its packages cannot be had.
    pub fn start(home: &Home, name: &str) -> Option<Self> {
        Self::start_with(home, name, &[])
    }

    /// Starts one that speaks TLS only, and only to who has a certificate of the authority.
    pub fn start_safe(home: &Home, name: &str, certificates: &Certificates) -> Option<Self> {
        let (certificate, key) = &certificates.server;
        let files = [certificate.clone(), key.clone(), certificates.authority.clone()];
        Self::start_with(home, name, &files)
    }

    fn start_with(home: &Home, name: &str, certificates: &[PathBuf]) -> Option<Self> {
        let mut making = Command::new(checkout().join("tests/fixtures/otlp/make"));
        // Why it cannot be had is told where the test tells the rest.
        let made = making.stderr(Stdio::inherit()).output().expect("a script of the checkout");
        if !made.status.success() {
            return None;
        }
        let python = String::from_utf8(made.stdout).expect("a path below the user's cache");
        let python = PathBuf::from(python.trim_end());
        let folder = home.scratch(name);
        fs::create_dir(&folder).expect("a name of its own");
        let certificates = certificates.to_vec();
        let child = listen(&python, &folder, [0, 0], &certificates);
        let mut receiver = Self { folder, python, certificates, child, grpc: 0, http: 0 };
        let ports = receiver.ports();
        let port = |name: &str| ports[name].as_u64().and_then(|port| u16::try_from(port).ok());
        receiver.grpc = port("grpc").expect("a port");
        receiver.http = port("http").expect("a port");
        Some(receiver)
    }

    fn ports(&self) -> Value {
        let path = self.folder.join("ports");
        let text = eventually("a receiver listens", START_MAX, || fs::read_to_string(&path).ok());
        serde_json::from_str(&text).expect("the receiver's own JSON")
    }

    /// Ends it without a word.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn die(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn rise(&mut self) {
        fs::remove_file(self.folder.join("ports")).expect("it was there");
        let ports = [self.grpc, self.http];
        self.child = listen(&self.python, &self.folder, ports, &self.certificates);
        self.ports();
    }

    /// Says how it answers from now on.
    pub fn answers(&self, mode: &Value) {
        let draft = self.folder.join("mode.draft");
        put(&draft, &mode.to_string());
        fs::rename(draft, self.folder.join("mode")).expect("a folder of our own");
    }

    /// Returns what it was sent so far, request by request.
    ///
    /// # Panics
    /// When it wrote no JSON.
    pub fn requests(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("received")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Returns the points of requests that it was sent.
    pub fn points(&self) -> Vec<Value> {
        self.requests().iter().flat_map(points).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the points of a request.
pub fn points(request: &Value) -> Vec<Value> {
    request["points"].as_array().cloned().unwrap_or_default()
}

fn listen(python: &Path, folder: &Path, ports: [u16; 2], certificates: &[PathBuf]) -> Child {
    let mut command = bare(python);
    command.arg(checkout().join("tests/fixtures/otlp/receiver.py")).arg(folder);
    command.args(ports.map(|port| port.to_string())).args(certificates);
    command.spawn().expect("a Python that was made for it")
}

impl Certificates {
    /// Makes an authority and what it signs.
    ///
    /// # Panics
    /// When there is no `openssl`.
    pub fn make(home: &Home, name: &str) -> Self {
        let folder = home.scratch(name);
        fs::create_dir(&folder).expect("a name of its own");
        let path = |file: &str| folder.join(file);
        let openssl = |words: &[&str]| {
            let mut command = bare("/usr/bin/openssl");
            let output = command.args(words).current_dir(&folder).output().expect("openssl");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];
        let authority = ["req", "-x509", "-subj", "/CN=authority", "-days", "2"];
        openssl(&[&authority[..], &key, &["-keyout", "ca.key", "-out", "ca.pem"]].concat());
        for (name, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
            let (key_file, request) = (format!("{name}.key"), format!("{name}.csr"));
            let certificate = format!("{name}.pem");
            let subject = format!("/CN={name}");
            let asked = ["req", "-subj", &subject, "-keyout", &key_file, "-out", &request];
            openssl(&[&asked[..], &key].concat());
            let extensions = format!(
                "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage={usage}\n\
                 basicConstraints=CA:FALSE\n"
            );
            put(&path("extensions"), &extensions);
            let signed = ["x509", "-req", "-in", &request, "-days", "2", "-out", &certificate];
            let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "extensions"];
            openssl(&[&signed[..], &by].concat());
        }
        Self {
            authority: path("ca.pem"),
            server: (path("server.pem"), path("server.key")),
            client: (path("client.pem"), path("client.key")),
        }
    }
}

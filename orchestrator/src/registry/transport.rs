//! One request and its answer: redirects, proxies, limits, and what it means when it fails.

use std::error::Error;
use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, NoProxy, Proxy, Response, Url};

use super::error::{RegistryError, Wire};
use super::settings::Proxies;
use super::trust;
use crate::report::clean::clean;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(20);
/// How long a document may take, and a stream may stand still.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The largest document.
pub(super) const DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// How often an answer may lead elsewhere.
const REDIRECTS_MAX: usize = 5;
/// Tries, and the pause after the first; each later one is twice as long.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// What is asked for, in words for people.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The registry.
    pub(super) host: &'a str,
    /// A part of an image, or what else.
    pub(super) what: &'a str,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Reading, or trading a token.
    pub(super) method: Method,
    /// Where.
    pub(super) url: Url,
    /// What goes along wherever it leads.
    pub(super) headers: HeaderMap,
    /// What goes to this host alone.
    pub(super) authorization: Option<HeaderValue>,
    /// The form that is sent.
    pub(super) form: Option<String>,
}

impl Request {
    /// Returns a request to read `url`.
    pub(super) fn get(url: Url) -> Self {
        let (headers, authorization, form) = (HeaderMap::new(), None, None);
        Self { method: Method::GET, url, headers, authorization, form }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Transport(Client);

impl Transport {
    /// Prepares connections that trust the system's authorities and those of a file.
    ///
    /// # Errors
    /// The file or a proxy cannot be used.
    pub(super) fn new(ca: Option<&Path>, proxies: &Proxies) -> Result<Self, RegistryError> {
        let agent = concat!("msb/", env!("CARGO_PKG_VERSION"));
        let mut builder = Client::builder()
            .tls_backend_preconfigured(trust::config(ca)?)
            .user_agent(agent)
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .no_proxy();
        // This host is never reached by way of another.
        let none = format!("{},localhost,127.0.0.0/8,::1", proxies.none.as_deref().unwrap_or(""));
        let spoken = [(&proxies.https, true), (&proxies.http, false)];
        for (address, is_tls) in spoken {
            let Some(address) = address else { continue };
            let proxy = if is_tls { Proxy::https(address) } else { Proxy::http(address) };
            let name = if is_tls { "HTTPS_PROXY" } else { "HTTP_PROXY" };
            let proxy = proxy.map_err(|_| RegistryError::Proxy(name.to_owned()))?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&none)));
        }
        let failed = |error| RegistryError::Prepare(io::Error::other(root(&error)));
        builder.build().map(Self).map_err(failed)
    }

    /// Sends a request and returns the answer, whatever its status is.
    ///
    /// # Errors
    /// There is no connection, it breaks off, or it leads where nobody should follow.
    pub(super) async fn send(
        &self,
        asked: Asked<'_>,
        mut request: Request,
    ) -> Result<Response, RegistryError> {
        for _ in 0..=REDIRECTS_MAX {
            let response = in_time(asked, self.once(&request)).await?;
            let response = response.map_err(|error| failed(asked, &error))?;
            let location = response.headers().get(LOCATION).and_then(|text| text.to_str().ok());
            let location = location.filter(|_| response.status().is_redirection());
            let Some(location) = location else { return Ok(response) };
            let target = request.url.join(location);
            let target = target.map_err(|_| asked.refused("it leads to what is no URL"))?;
            follow(asked, &mut request, target)?;
        }
        Err(asked.refused("it leads elsewhere more than five times"))
    }

    async fn once(&self, request: &Request) -> reqwest::Result<Response> {
        let mut builder = self.0.request(request.method.clone(), request.url.clone());
        builder = builder.headers(request.headers.clone());
        if let Some(value) = &request.authorization {
            let mut value = value.clone();
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(form) = &request.form {
            let kind = "application/x-www-form-urlencoded";
            builder = builder.header(CONTENT_TYPE, kind).body(form.clone());
        }
        builder.send().await
    }

    /// Tells whether a host of this machine speaks TLS.
    ///
    /// # Errors
    /// Nobody is there.
    pub(super) async fn speaks_tls(&self, host: &str, url: &Url) -> Result<bool, RegistryError> {
        /// One that understands nothing of TLS may wait for more of it.
        const PROBE: Duration = Duration::from_secs(2);
        let asked = Asked { host, what: "its version" };
        let request = Request::get(url.clone());
        let Ok(answer) = tokio::time::timeout(PROBE, self.once(&request)).await else {
            return Ok(false);
        };
        let Err(error) = answer else { return Ok(true) };
        match failed(asked, &error) {
            RegistryError::Untrusted { .. } => Ok(true),
            error @ RegistryError::Unreachable { .. } => Err(error),
            _ => Ok(false),
        }
    }
}

impl Asked<'_> {
    /// Returns the refusal of an answer.
    pub(super) fn refused(self, why: impl Into<String>) -> RegistryError {
        let (host, what) = (self.host.to_owned(), self.what.to_owned());
        RegistryError::Refused { host, what, why: why.into() }
    }

    /// Returns the end of a connection before its time.
    pub(super) fn cut(self, source: Wire) -> RegistryError {
        RegistryError::Cut { host: self.host.to_owned(), what: self.what.to_owned(), source }
    }
}

/// Turns a request to where an answer leads; a login stays with its host.
fn follow(asked: Asked<'_>, request: &mut Request, target: Url) -> Result<(), RegistryError> {
    if request.form.is_some() {
        return Err(asked.refused("it leads a login elsewhere"));
    }
    match (request.url.scheme(), target.scheme()) {
        ("https" | "http", "https") | ("http", "http") => {}
        ("https", "http") => return Err(asked.refused("it leads from TLS to plain HTTP")),
        _ => return Err(asked.refused("it leads to what is no web address")),
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err(asked.refused("it leads to an address with a login in it"));
    }
    if request.url.origin() != target.origin() {
        request.authorization = None;
    }
    request.url = target;
    Ok(())
}

/// Returns a document whole.
///
/// # Errors
/// It is too large, takes too long, or breaks off.
pub(super) async fn document(
    asked: Asked<'_>,
    mut response: Response,
) -> Result<Vec<u8>, RegistryError> {
    let read = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(asked, &error))? {
            if bytes.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(asked.refused("it is larger than 4 MiB"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    in_time(asked, read).await?
}

/// Returns the next bytes of a stream; `None` at its end.
///
/// # Errors
/// It breaks off, or stands still for too long.
pub(super) async fn chunk(
    asked: Asked<'_>,
    response: &mut Response,
) -> Result<Option<impl AsRef<[u8]>>, RegistryError> {
    in_time(asked, response.chunk()).await?.map_err(|error| failed(asked, &error))
}

async fn in_time<T>(asked: Asked<'_>, work: impl Future<Output = T>) -> Result<T, RegistryError> {
    let late = |_| asked.cut("nothing came for 60 s".into());
    tokio::time::timeout(PATIENCE, work).await.map_err(late)
}

/// Carries work out again where what failed may pass by itself; `work` is told which try it is.
pub(super) async fn tried<T>(
    mut work: impl AsyncFnMut() -> Result<T, RegistryError>,
) -> Result<T, RegistryError> {
    let mut tries = Tries::default();
    loop {
        match work().await {
            Err(error) => tries.again(error).await?,
            done => return done,
        }
    }
}

/// How often something was tried.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Starts over: something came.
    pub(super) fn forget(&mut self) {
        self.0 = 0;
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The error itself, where another try would not help, or enough were made.
    pub(super) async fn again(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        let passes = match &error {
            RegistryError::Cut { .. } => true,
            RegistryError::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        };
        self.0 += 1;
        if !passes || self.0 >= TRIES {
            return Err(error);
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(self.0 - 1)).await;
        Ok(())
    }
}

/// Returns what a failed request means.
fn failed(asked: Asked<'_>, error: &reqwest::Error) -> RegistryError {
    let (host, source) = (asked.host.to_owned(), Wire::from(root(error)));
    for cause in causes(error) {
        match cause.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(_)) => {
                return RegistryError::Untrusted { host, source };
            }
            Some(rustls::Error::InvalidMessage(_)) => return RegistryError::Plain { host },
            _ => {}
        }
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof,
        ) = kind
        {
            return asked.cut(source);
        }
    }
    if error.is_connect() { RegistryError::Unreachable { host, source } } else { asked.cut(source) }
}

/// Returns an error and what is below it; an IO error hides what it carries from `source`.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'e (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// Returns the last cause, which names no address with a token in it.
fn root(error: &reqwest::Error) -> String {
    let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
    clean(&last).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(from: &str, to: &str) -> Result<Request, RegistryError> {
        let mut request = Request::get(Url::parse(from).unwrap());
        request.authorization = Some(HeaderValue::from_static("Basic x"));
        let asked = Asked { host: "h", what: "it" };
        follow(asked, &mut request, Url::parse(to).unwrap()).map(|()| request)
    }

    #[test]
    fn a_login_stays_with_its_host() {
        for (from, to, stays) in [
            ("https://a.example/x", "https://a.example/y", true),
            ("https://a.example/x", "https://a.example:443/y", true),
            ("https://a.example/x", "https://a.example:8443/y", false),
            ("https://a.example/x", "https://b.example/y", false),
            ("http://a.example/x", "https://a.example/y", false),
        ] {
            assert_eq!(followed(from, to).unwrap().authorization.is_some(), stays, "{to}");
        }
    }

    #[test]
    fn nobody_is_led_out_of_tls_or_off_the_web() {
        for to in ["http://a.example/y", "file:///etc/passwd", "https://u:p@b.example/"] {
            let told = followed("https://a.example/x", to).unwrap_err().to_string();
            assert!(told.contains("it leads"), "{told}");
        }
    }

    #[test]
    fn a_proxy_that_is_none_is_named_by_its_variable() {
        let proxies = Proxies { https: Some("http://[".to_owned()), ..Proxies::default() };
        let error = Transport::new(None, &proxies).unwrap_err();
        assert!(error.to_string().contains("HTTPS_PROXY"), "{error}");
    }
}

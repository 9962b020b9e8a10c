//! One registry: how it is spoken to, as whom, and what its refusals mean.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use image::json;
use oci_client::errors::OciEnvelope;
use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use schema::encoding::base64;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::challenge::{self, Challenge};
use super::credentials::{Credential, Login, Secret, Source, Sources};
use super::error::{RegistryError, Said};
use super::realm::{is_loopback, may_see};
use super::settings::{HostSettings, Settings};
use super::transport::{Asked, Request, Transport, document};

/// Where Docker Hub is really asked.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// See the module.
#[derive(Debug)]
pub(super) struct Access {
    host: String,
    settings: HostSettings,
    sources: Sources,
    transport: Transport,
    base: OnceCell<Url>,
    login: OnceCell<Login>,
    /// What opened a door, by what was to be done behind it.
    opened: Mutex<BTreeMap<String, Secret>>,
}

/// What is asked of a registry.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    /// Reading, or reading the head alone.
    pub(super) method: Method,
    /// Below `/v2/`.
    pub(super) path: &'a str,
    /// The repository; empty: the registry itself.
    pub(super) repository: &'a str,
    /// In words for people.
    pub(super) what: &'a str,
    /// Media types that are understood.
    pub(super) accept: &'a str,
    /// The first byte that is wanted.
    pub(super) from: u64,
}

impl Access {
    /// Prepares a registry; nothing is sent.
    ///
    /// # Errors
    /// A file of certificates or a proxy cannot be used.
    pub(super) fn new(host: &str, settings: &Settings) -> Result<Self, RegistryError> {
        let own = settings.host(host);
        let transport = Transport::new(own.ca_certs.as_deref(), &settings.proxies)?;
        Ok(Self {
            host: host.to_owned(),
            settings: own,
            sources: settings.credentials.clone(),
            transport,
            base: OnceCell::new(),
            login: OnceCell::new(),
            opened: Mutex::default(),
        })
    }

    /// Prepares a registry that is asked as somebody who was named just now.
    ///
    /// # Errors
    /// A file of certificates or a proxy cannot be used.
    pub(super) fn named(
        host: &str,
        settings: &Settings,
        credential: Credential,
    ) -> Result<Self, RegistryError> {
        let credential = Some((credential, Source::Typed));
        let login = OnceCell::new_with(Some(Login { credential, notes: Vec::new() }));
        Ok(Self { login, ..Self::new(host, settings)? })
    }

    /// Returns the registry and something that is asked of it, for people.
    pub(super) fn asked<'a>(&'a self, what: &'a str) -> Asked<'a> {
        Asked { host: &self.host, what }
    }

    /// Asks, and answers the registry's own question who is asking; the answer is a good one.
    ///
    /// # Errors
    /// There is no connection, the registry does not have it, or does not give it to us.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Response, RegistryError> {
        let base = self.base().await?;
        let asked = self.asked(question.what);
        let url = base.join(question.path).map_err(|_| asked.refused("it has no address"))?;
        let mut request = Request::get(url);
        request.method = question.method.clone();
        let mut add = |name: &'static str, value: &str| {
            request.headers.extend(
                HeaderValue::from_str(value)
                    .ok()
                    .map(|value| (reqwest::header::HeaderName::from_static(name), value)),
            );
        };
        add("accept", question.accept);
        if question.from > 0 {
            add("range", &format!("bytes={}-", question.from));
        }
        request.authorization = self.held(question.repository);
        let mut response = self.transport.send(asked, request.clone()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let headers = response.headers().get_all(WWW_AUTHENTICATE).into_iter();
            let challenge = challenge::best(headers.filter_map(|header| header.to_str().ok()));
            let Some(challenge) = challenge else { return Err(self.told(asked, response).await) };
            let opened = self.open(asked, base, &challenge, question.repository).await?;
            request.authorization = header(&opened);
            response = self.transport.send(asked, request).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                self.hold(question.repository, opened);
            }
        }
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.told(asked, response).await)
    }

    /// Returns where the registry's interface begins.
    async fn base(&self) -> Result<&Url, RegistryError> {
        self.base
            .get_or_try_init(async || {
                let host = if self.host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { &self.host };
                let asked = self.asked("its address");
                let at = |scheme: &str| {
                    let url = Url::parse(&format!("{scheme}://{host}/v2/"));
                    url.map_err(|_| asked.refused("it is no host"))
                };
                let (plain, safe) = (at("http")?, at("https")?);
                if self.settings.insecure {
                    return Ok(plain);
                }
                if !is_loopback(host) || self.settings.ca_certs.is_some() {
                    return Ok(safe);
                }
                Ok(if self.transport.speaks_tls(host, &safe).await? { safe } else { plain })
            })
            .await
    }

    async fn login(&self) -> Result<&Login, RegistryError> {
        let look = async || self.sources.login(&self.host).await.map_err(RegistryError::from);
        self.login.get_or_try_init(look).await
    }

    fn held(&self, repository: &str) -> Option<HeaderValue> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(repository).and_then(header)
    }

    fn hold(&self, repository: &str, opened: Secret) {
        let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(repository.to_owned(), opened);
    }

    /// Returns what answers a challenge, as the value of a header.
    async fn open(
        &self,
        asked: Asked<'_>,
        base: &Url,
        challenge: &Challenge,
        repository: &str,
    ) -> Result<Secret, RegistryError> {
        let login = self.login().await?;
        let credential = login.credential.as_ref().map(|(credential, _)| credential);
        let (realm, service, scope) = match challenge {
            Challenge::Bearer { realm, service, scope } => (realm, service, scope),
            Challenge::Basic => {
                return match credential {
                    Some(Credential::Password { user, password }) => Ok(basic(user, password)),
                    Some(Credential::Identity(_)) => {
                        Err(self.denied(asked, Said::of("it wants a password, not a token")))
                    }
                    None => Err(self.denied(asked, Said::of(&login.notes.join("; ")))),
                };
            }
        };
        let url = Url::parse(realm).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        let url = url.ok_or_else(|| asked.refused("it sends us for a token to what is no URL"))?;
        let realm_host = url.host_str().unwrap_or_default().to_owned();
        if url.scheme() == "http" && base.scheme() == "https" {
            return Err(asked.refused("it sends us for a token from TLS to plain HTTP"));
        }
        let may = may_see(
            base.host_str().unwrap_or_default(),
            &realm_host,
            self.settings.token_realm.as_deref(),
        );
        let scope = scope
            .clone()
            .or_else(|| (!repository.is_empty()).then(|| format!("repository:{repository}:pull")));
        let request = trade(url, service.as_deref(), scope.as_deref(), credential.filter(|_| may));
        let response = self.transport.send(asked, request).await?;
        if !response.status().is_success() {
            let error = self.told(asked, response).await;
            return Err(if may || credential.is_none() {
                error
            } else {
                self.unseen(asked, &realm_host)
            });
        }
        let bytes = document(asked, response).await?;
        let token = json::parse(&bytes).ok().and_then(|answer| {
            let field = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
            field("token").filter(|token| !token.is_empty()).or_else(|| field("access_token"))
        });
        let token = token.ok_or_else(|| asked.refused("its token server gives no token"))?;
        Ok(Secret::new(format!("Bearer {token}")))
    }

    /// Returns the refusal of a registry whose token server must not see the login.
    fn unseen(&self, asked: Asked<'_>, realm: &str) -> RegistryError {
        let said = format!(
            "its token server {realm} is of another house and was asked without the login; \
             `token-realm` of its entry in config.kdl allows it"
        );
        self.denied(asked, Said::of(&said))
    }

    fn denied(&self, asked: Asked<'_>, said: Option<Said>) -> RegistryError {
        let credential = self.login.get().and_then(|login| login.credential.as_ref());
        let who = match credential {
            None => "anybody".to_owned(),
            Some((credential, Source::Typed)) => credential.user().unwrap_or("a token").to_owned(),
            Some((credential, source)) => {
                format!("{} (of {source})", credential.user().unwrap_or("a token"))
            }
        };
        let who = crate::report::clean::clean(&who).into_owned();
        let (host, what) = (self.host.clone(), asked.what.to_owned());
        RegistryError::Denied { host, what, who, said }
    }

    /// Returns what an answer means that is no good one.
    async fn told(&self, asked: Asked<'_>, response: Response) -> RegistryError {
        let status = response.status();
        let said = document(asked, response).await.ok().and_then(|body| said(&body));
        let (host, what) = (self.host.clone(), asked.what.to_owned());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let notes = self.login.get().map(|login| login.notes.join("; "));
                let said = said.or_else(|| Said::of(&notes.unwrap_or_default()));
                self.denied(asked, said)
            }
            StatusCode::NOT_FOUND => RegistryError::NotFound { host, what, said },
            status => RegistryError::Status { host, what, status: status.as_u16(), said },
        }
    }
}

/// Returns what a registry says in an answer that is no good one.
fn said(body: &[u8]) -> Option<Said> {
    if let Ok(envelope) = serde_json::from_slice::<OciEnvelope>(body) {
        return envelope.errors.first().and_then(|error| Said::of(&error.message));
    }
    let text = json::parse(body).ok()?;
    let text =
        ["details", "message", "error"].into_iter().find_map(|name| text.get(name)?.as_str());
    text.and_then(Said::of)
}

fn header(opened: &Secret) -> Option<HeaderValue> {
    HeaderValue::from_str(opened.reveal()).ok()
}

fn basic(user: &str, password: &Secret) -> Secret {
    let pair = format!("{user}:{}", password.reveal());
    Secret::new(format!("Basic {}", base64(pair.as_bytes())))
}

/// Returns the request for a token.
fn trade(
    mut url: Url,
    service: Option<&str>,
    scope: Option<&str>,
    credential: Option<&Credential>,
) -> Request {
    let wanted: Vec<_> = [("service", service), ("scope", scope)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    if let Some(Credential::Identity(token)) = credential {
        let mut form = url.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "msb")
            .append_pair("refresh_token", token.reveal())
            .extend_pairs(&wanted);
        let mut request = Request::get(url);
        request.method = Method::POST;
        request.form = form.query().map(str::to_owned);
        return request;
    }
    url.query_pairs_mut().extend_pairs(&wanted);
    let mut request = Request::get(url);
    if let Some(Credential::Password { user, password }) = credential {
        request.url.query_pairs_mut().append_pair("account", user);
        request.authorization = header(&basic(user, password));
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_with_the_login_or_without() {
        let realm = Url::parse("https://auth.example/token?x=1").unwrap();
        let request = trade(realm.clone(), Some("reg"), Some("repository:a/b:pull"), None);
        let asked = "https://auth.example/token?x=1&service=reg&scope=repository%3Aa%2Fb%3Apull";
        assert_eq!((request.url.as_str(), request.authorization.is_none()), (asked, true));
        let password = Secret::new("p".to_owned());
        let login = Credential::Password { user: "u".to_owned(), password };
        let request = trade(realm.clone(), None, None, Some(&login));
        assert_eq!(request.authorization.unwrap(), "Basic dTpw");
        let token = Credential::Identity(Secret::new("t&t".to_owned()));
        let request = trade(realm, Some("reg"), None, Some(&token));
        let form = "grant_type=refresh_token&client_id=msb&refresh_token=t%26t&service=reg";
        assert_eq!((request.method, request.form.as_deref()), (Method::POST, Some(form)));
        assert!(!request.url.as_str().contains("t%26t"));
    }

    #[test]
    fn what_a_registry_says_is_found_in_its_forms() {
        let text = |body: &[u8]| said(body).map(|said| said.to_string());
        let oci = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        assert_eq!(text(oci).as_deref(), Some("manifest unknown"));
        assert_eq!(text(br#"{"details":"bad login"}"#).as_deref(), Some("bad login"));
        assert_eq!(text(b"<html>"), None);
    }
}

use std::time::{Duration, UNIX_EPOCH};

use coffre_rotation::EventKind;
use coffre_secret::SecretText;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::Notice;
use super::channel::Refusal;
use super::webhook::short;
use crate::Failure;

/// Of each step of a delivery.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of all steps together.
const ALL: Duration = Duration::from_secs(60);
/// Recipients of one channel.
const MAX_TO: usize = 16;

/// E-mail through a server (SMTP, RFC 5321).
#[derive(Debug)]
pub struct Email {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// User name and password; without them nobody logs in.
    pub login: Option<(String, SecretText)>,
    /// From whom: `Name <address>` or an address.
    pub from: String,
    /// To whom, 1 to 16.
    pub to: Vec<String>,
    /// What they are told; empty: [`USUAL`](super::USUAL).
    pub events: Vec<EventKind>,
    /// PEM with trust anchors besides the system's.
    pub ca: Option<String>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Begins in the clear and must become TLS before anything is said (RFC 3207).
    Starttls,
    /// TLS from the beginning (RFC 8314).
    Tls,
    /// Not at all; only to this machine.
    None,
}

/// A mail server that was checked.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mailer {
    pub(super) fn new(settings: Email) -> Result<Self, Failure> {
        let Email { host, port, security, login, from, to, ca, .. } = settings;
        let address = |text: &str| {
            let parsed = text.parse::<Mailbox>();
            parsed.map_err(|_| Failure::config("an address for notifications is not an e-mail address"))
        };
        if to.is_empty() || to.len() > MAX_TO {
            return Err(Failure::config("e-mail notifications go to 1 to 16 addresses"));
        }
        let (from, to) = (address(&from)?, to.iter().map(|to| address(to)).collect::<Result<_, _>>()?);
        let local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        let tls = match security {
            Security::None if local => Tls::None,
            Security::None => {
                return Err(Failure::config(
                    "e-mail without TLS goes only to a server on this machine; use starttls or tls",
                ));
            }
            Security::Starttls => Tls::Required(parameters(&host, ca.as_deref())?),
            Security::Tls => Tls::Wrapper(parameters(&host, ca.as_deref())?),
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port).tls(tls);
        let builder = match login {
            None => builder,
            // EXPOSE: SMTP's AUTH takes the password as it is.
            Some((user, password)) => builder.credentials(Credentials::new(user, password.expose().clone())),
        };
        Ok(Self { transport: builder.timeout(Some(TIMEOUT)).build(), from, to })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), Refusal> {
        let message =
            self.message(notice).ok_or_else(|| Refusal::Never("no mail could be made of it".to_owned()))?;
        let sent = tokio::time::timeout(ALL, self.transport.send(message)).await;
        // The server's words can quote what we sent, the login included.
        match sent {
            Err(_) => Err(Refusal::Later("the mail server did not answer in time".to_owned())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(cause)) => {
                let status = cause.status().map(|code| format!(" ({code})")).unwrap_or_default();
                match cause.is_permanent() {
                    true => Err(Refusal::Never(format!("the mail server refused it{status}"))),
                    false if cause.is_tls() || cause.is_client() => Err(Refusal::Later(
                        "no TLS with the mail server, or it cannot do what was asked".to_owned(),
                    )),
                    false => Err(Refusal::Later(format!("the mail server did not take it{status}"))),
                }
            }
        }
    }

    /// The message's id comes from the notice's key, so that a repeated mail is seen as one.
    fn message(&self, notice: &Notice) -> Option<Message> {
        let date = UNIX_EPOCH.checked_add(Duration::from_secs(notice.at().secs()))?;
        let mut message = Message::builder()
            .from(self.from.clone())
            .message_id(Some(format!("<{}@coffre.invalid>", short(notice.key()))))
            .date(date)
            .subject(notice.subject());
        for to in &self.to {
            message = message.to(to.clone());
        }
        message.header(ContentType::TEXT_PLAIN).body(notice.text()).ok()
    }
}

fn parameters(host: &str, ca: Option<&str>) -> Result<TlsParameters, Failure> {
    let unusable = || Failure::config("the CA certificate for the mail server is not usable");
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = ca {
        builder =
            builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(|_| unusable())?);
    }
    builder.build_rustls().map_err(|_| {
        Failure::config("there is no TLS for the mail server: no trust anchors, or its name is none")
    })
}

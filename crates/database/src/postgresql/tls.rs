//! TLS to PostgreSQL with rustls; the certificates come as text, never as the name of a file.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::destination::{Destination, Mode};
use super::wire::Wire;
use crate::tls::{self, Verify};
use crate::{BoxFuture, Error, Tls};

/// What is needed for a handshake.
#[derive(Clone)]
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Handshake {
    /// For this destination; the texts are read now.
    pub(super) fn new(to: &Destination, settings: &Tls) -> Result<Self, Error> {
        if settings.insecure {
            tracing::warn!("TLS to a database accepts any certificate: insecure_tls is set");
        }
        let verify = match to.mode {
            Mode::VerifyFull if !settings.insecure => Verify::Full,
            Mode::VerifyCa if !settings.insecure => Verify::Chain,
            _ => Verify::Nothing,
        };
        Ok(Self { config: tls::client_config(settings, verify)?, name: tls::server_name(&to.host)? })
    }
}

impl TlsConnect<Wire> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Encrypted>>;

    fn connect(self, stream: Wire) -> Self::Future {
        Box::pin(async move {
            let connector = tokio_rustls::TlsConnector::from(self.config);
            connector.connect(self.name, stream).await.map(|stream| Encrypted(Box::new(stream)))
        })
    }
}

/// A connection under TLS.
pub(super) struct Encrypted(Box<tokio_rustls::client::TlsStream<Wire>>);

impl TlsStream for Encrypted {
    /// None: it would need the certificate's own hash (RFC 5929), and `verify-full` says more.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

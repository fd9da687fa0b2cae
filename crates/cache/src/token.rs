use std::time::Duration;

use crate::event::{Generation, TokenGrant};
use crate::flight::backoff;
use crate::jitter::{Jitter, Purpose, thousandths};
use crate::lease::margin;

/// Tokens that are replaced but still carry leases; more than this are not kept.
pub(crate) const RETIRING: usize = 4;

/// All tokens: the one that requests use, and older ones whose leases are still in use.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Tokens {
    pub(crate) current: Option<Token>,
    pub(crate) retiring: Vec<Token>,
    /// The look-up under way, if the token is under suspicion.
    pub(crate) lookup: Option<Lookup>,
    /// The login under way.
    pub(crate) login: Option<Asked>,
    pub(crate) login_failures: u32,
    /// No login before then.
    pub(crate) next_login: Duration,
    last: u32,
}

/// A request about tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) at: Duration,
    /// Counts as failed then.
    pub(crate) until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lookup {
    pub(crate) generation: Generation,
    pub(crate) asked: Asked,
}

/// One token, as far as is known here; the driver has the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    pub(crate) generation: Generation,
    issued: Duration,
    /// The first grant, and the last.
    first: Option<Duration>,
    granted: Option<Duration>,
    /// When it ends unless renewed.
    pub(crate) end: Option<Duration>,
    /// When it ends whatever is done.
    pub(crate) hard_end: Option<Duration>,
    pub(crate) renew_at: Option<Duration>,
    /// The renewal under way.
    pub(crate) renewing: Option<Asked>,
    renewals: u64,
    failures: u32,
    /// A fork's parent renews and revokes it.
    pub(crate) foreign: bool,
    /// The server does not know it any more.
    pub(crate) dead: bool,
}

impl Token {
    pub(crate) fn granted(generation: Generation, grant: TokenGrant, sent: Duration, jitter: Jitter) -> Self {
        let mut token = Self {
            generation,
            issued: sent,
            first: grant.ttl,
            granted: None,
            end: None,
            hard_end: grant.hard.map(|hard| sent.saturating_add(hard)),
            renew_at: None,
            renewing: None,
            renewals: 0,
            failures: 0,
            foreign: false,
            dead: false,
        };
        token.regranted(grant, sent, jitter);
        token
    }

    /// Takes over what the server said in answer to a request sent at `sent`.
    pub(crate) fn regranted(&mut self, grant: TokenGrant, sent: Duration, jitter: Jitter) {
        self.granted = grant.ttl;
        self.end = grant.ttl.map(|ttl| sent.saturating_add(ttl));
        self.failures = 0;
        if let Some(hard) = grant.hard {
            self.hard_end = Some(sent.saturating_add(hard));
        }
        let short =
            matches!((grant.ttl, self.first), (Some(ttl), Some(first)) if ttl < thousandths(first, 900));
        if (short || !grant.renewable) && grant.ttl.is_some() {
            // No renewal moves this end any more.
            self.hard_end = self.end;
            self.renew_at = None;
            return;
        }
        self.renew_at = grant.ttl.filter(|_| !self.foreign).map(|ttl| {
            let pause = jitter.part(ttl, 600, 733, Purpose::TokenRenewal, self.number(), self.renewals);
            sent.saturating_add(pause)
        });
        self.renewals = self.renewals.saturating_add(1);
    }

    /// Another try at renewal after a failure.
    pub(crate) fn renewal_failed(&mut self, now: Duration, rest: Duration, jitter: Jitter) {
        self.failures = self.failures.saturating_add(1);
        let pause = backoff(jitter, Purpose::TokenRenewal, self.number(), self.failures).max(rest);
        self.renew_at = Some(now.saturating_add(pause));
    }

    /// When to have a new one: at three quarters of the hard life at the latest, spread below so that instances that
    /// started together do not log in together.
    pub(crate) fn relogin_at(&self, jitter: Jitter) -> Option<Duration> {
        let life = self.hard_end?.saturating_sub(self.issued);
        Some(self.issued.saturating_add(jitter.part(life, 650, 750, Purpose::Relogin, self.number(), 0)))
    }

    /// From then on what depends on it is not used.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_sub(margin(self.granted.unwrap_or_default())))
    }

    /// When it ends whatever is done, less the margin.
    pub(crate) fn hard_deadline(&self) -> Duration {
        let margin = margin(self.granted.unwrap_or_default());
        self.hard_end.unwrap_or(Duration::MAX).saturating_sub(margin)
    }

    /// When it needs attention next.
    pub(crate) fn wake(&self) -> Option<Duration> {
        if self.dead {
            return None;
        }
        let asked = self.renewing.map(|asked| asked.until);
        [self.end, self.renew_at, asked].into_iter().flatten().min()
    }

    fn number(&self) -> u64 {
        u64::from(self.generation.0)
    }
}

impl Tokens {
    pub(crate) const fn new() -> Self {
        Self {
            current: None,
            retiring: Vec::new(),
            lookup: None,
            login: None,
            login_failures: 0,
            next_login: Duration::ZERO,
            last: 0,
        }
    }

    /// The number of the next token.
    pub(crate) const fn coming(&self) -> Generation {
        Generation(self.last.saturating_add(1))
    }

    /// The token just granted becomes the current one; the one before is returned.
    pub(crate) fn install(&mut self, grant: TokenGrant, now: Duration, jitter: Jitter) -> Option<Token> {
        let sent = self.login.take().map_or(now, |asked| asked.at);
        let token = Token::granted(self.coming(), grant, sent, jitter);
        self.last = self.last.saturating_add(1);
        self.login_failures = 0;
        self.next_login = Duration::ZERO;
        self.lookup = None;
        self.current.replace(token)
    }

    pub(crate) fn login_failed(&mut self, now: Duration, rest: Duration, jitter: Jitter) {
        self.login = None;
        self.login_failures = self.login_failures.saturating_add(1);
        let pause = backoff(jitter, Purpose::Login, u64::from(self.last), self.login_failures).max(rest);
        self.next_login = now.saturating_add(pause);
    }

    /// In a child all tokens are the parent's.
    pub(crate) fn forked(&mut self) {
        self.lookup = None;
        self.login = None;
        for token in self.retiring.iter_mut().chain(&mut self.current) {
            token.foreign = true;
            token.renew_at = None;
            token.renewing = None;
        }
    }

    /// The current token, unless it is known to be dead.
    pub(crate) fn alive(&self) -> Option<&Token> {
        self.current.as_ref().filter(|token| !token.dead)
    }

    /// A token that is not known to be dead.
    pub(crate) fn find(&self, generation: Generation) -> Option<&Token> {
        self.retiring.iter().chain(&self.current).find(|token| token.generation == generation && !token.dead)
    }

    pub(crate) fn find_mut(&mut self, generation: Generation) -> Option<&mut Token> {
        self.retiring
            .iter_mut()
            .chain(&mut self.current)
            .find(|token| token.generation == generation && !token.dead)
    }

    /// Every token.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Token> {
        self.retiring.iter().chain(&self.current)
    }

    /// When something of a lease under this token ends because of the token; `None`: never. A token that is not known
    /// (any more) has ended.
    pub(crate) fn deadline(&self, generation: Option<Generation>) -> Option<Duration> {
        generation.and_then(|generation| match self.find(generation) {
            Some(token) => token.deadline(),
            None => Some(Duration::ZERO),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn token(grant: TokenGrant) -> Token {
        Token::granted(Generation(1), grant, s(100), Jitter::new(4))
    }

    #[test]
    fn a_periodic_token_is_renewed_and_never_replaced() {
        let mut token = token(TokenGrant { ttl: Some(s(1200)), renewable: true, hard: None });
        assert_eq!(token.relogin_at(Jitter::new(4)), None);
        for n in 1..20 {
            let sent = token.renew_at.unwrap();
            assert!(sent < token.deadline().unwrap());
            token.regranted(
                TokenGrant { ttl: Some(s(1200)), renewable: true, hard: None },
                sent,
                Jitter::new(n),
            );
            assert_eq!(token.end, Some(sent + s(1200)));
        }
    }

    #[test]
    fn a_hard_end_is_known_from_the_start_or_learnt_from_a_short_renewal() {
        let known = token(TokenGrant { ttl: Some(s(1200)), renewable: true, hard: Some(s(10_000)) });
        let at = known.relogin_at(Jitter::new(4)).unwrap();
        assert!(at >= s(6600) && at <= s(7600));
        let fixed = token(TokenGrant { ttl: Some(s(1000)), renewable: false, hard: None });
        assert!(fixed.relogin_at(Jitter::new(4)).unwrap() <= s(850));
        assert_eq!(fixed.renew_at, None);
        let mut learnt = token(TokenGrant { ttl: Some(s(1200)), renewable: true, hard: None });
        learnt.regranted(
            TokenGrant { ttl: Some(s(500)), renewable: true, hard: None },
            s(9000),
            Jitter::new(4),
        );
        assert_eq!((learnt.hard_end, learnt.renew_at), (Some(s(9500)), None));
        assert!(learnt.relogin_at(Jitter::new(4)).unwrap() < s(9000), "at once");
        let root = token(TokenGrant { ttl: None, renewable: false, hard: None });
        assert_eq!((root.end, root.deadline(), root.relogin_at(Jitter::new(4))), (None, None, None));
    }
}

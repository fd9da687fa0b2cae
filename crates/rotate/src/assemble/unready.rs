use coffre_rotation::{Kind, Pending};

use crate::{At, BoxFuture, Document, Failure, Target, Which};

/// A target that cannot be driven: a document of its administrator is missing, say. It stands in every list, refuses to
/// be enabled, and halts with what it lacks.
pub(super) struct Unready {
    pub(super) kind: Kind,
    pub(super) failure: Failure,
}

impl Unready {
    fn refuse<T>(&self) -> Result<T, Failure> {
        let again = Failure::new(self.failure.kind(), self.failure.message());
        Err(again.advise(self.failure.advice()))
    }
}

impl Target for Unready {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn prepare<'a>(&'a self, _at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>> {
        Box::pin(std::future::ready(self.refuse()))
    }

    fn apply<'a>(&'a self, _at: At<'a>, _pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(self.refuse()))
    }

    fn verify<'a>(&'a self, _at: At<'a>, _pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(self.refuse()))
    }

    fn publish(&self, _at: At<'_>, _pending: &Pending) -> Result<Option<Document>, Failure> {
        self.refuse()
    }

    fn promote(&self, _at: At<'_>, _pending: &Pending) -> Result<Document, Failure> {
        self.refuse()
    }

    fn retire<'a>(&'a self, _at: At<'a>, _gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(std::future::ready(self.refuse()))
    }

    fn undo<'a>(
        &'a self,
        _at: At<'a>,
        _pending: &'a Pending,
    ) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(std::future::ready(self.refuse()))
    }

    fn rollback(&self, _at: At<'_>, _gen_no: u64) -> Result<Document, Failure> {
        self.refuse()
    }

    fn works<'a>(&'a self, _at: At<'a>, _which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(std::future::ready(self.refuse()))
    }

    fn lacks(&self) -> Option<&Failure> {
        Some(&self.failure)
    }

    fn check<'a>(&'a self, _at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        let sentence = format!("{}. {}", self.failure.message(), self.failure.advice());
        Box::pin(std::future::ready(vec![sentence]))
    }
}

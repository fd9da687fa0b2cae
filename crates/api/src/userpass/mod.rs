//! Endpoints of `userpass`: a person logs in with a name and a password (Vault documentation, "Userpass auth method:
//! API").

mod login;
mod user;

pub use login::{Login, LoginInput};
pub use user::{
    DeleteUser, Keys, ListUsers, ReadUser, UserName, WritePassword, WritePasswordInput, WritePolicies,
    WritePoliciesInput, WriteUser, WriteUserInput,
};

//! Endpoints of `approle`: a machine logs in with a role id and a secret id (Vault documentation, "AppRole auth
//! method: API").

mod accessor;
mod field;
mod login;
mod role;
mod role_id;
mod secret_id;
mod tidy;

pub use accessor::{AccessorInput, DeleteByAccessor, DestroyByAccessor, LookupByAccessor};
pub use field::{
    BindSecretId, BoundCidrList, FieldInput, FieldOutput, LocalSecretIds, Period, Policies, ReadField,
    ResetField, RoleField, SecretIdBoundCidrs, SecretIdNumUses, SecretIdTtl, TokenBoundCidrs, TokenMaxTtl,
    TokenNumUses, TokenTtl, WriteField,
};
pub use login::{Login, LoginInput};
pub use role::{DeleteRole, Keys, ListRoles, ReadRole, RoleName, RoleOutput, WriteRole, WriteRoleInput};
pub use role_id::{ReadRoleId, RoleIdOutput, WriteRoleId, WriteRoleIdInput};
pub use secret_id::{
    CreateCustomSecretId, CreateSecretId, CustomSecretIdInput, DeleteSecretId, DestroySecretId,
    ListSecretIds, LookupSecretId, NewSecretId, SecretIdInput, SecretIdOptions, SecretIdOutput,
};
pub use tidy::TidySecretIds;

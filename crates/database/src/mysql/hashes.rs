use coffre_crypto::digest;
use coffre_secret::SecretText;

use super::session::{Session, quoted};
use crate::Error;
use crate::statements::{self, Dialect, Values};

/// Whether the server takes hashes in place of passwords: MariaDB does, unless a plug-in that judges passwords must see
/// them (`strict_password_validation`).
pub(super) async fn are_taken(session: &mut Session<'_>) -> Result<bool, Error> {
    let version = session.texts("SELECT VERSION()").await?;
    if !version.iter().any(|version| version.contains("MariaDB")) {
        return Ok(false);
    }
    let judged = "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' \
                  AND PLUGIN_STATUS = 'ACTIVE' AND @@strict_password_validation";
    Ok(session.texts(judged).await?.is_empty())
}

/// The statements with the values in their places, and where `hashed` the password's hash wherever that will do.
pub(super) fn render(list: &[String], values: &Values<'_>, hashed: bool) -> Result<Vec<SecretText>, Error> {
    let Some(password) = values.password.filter(|_| hashed) else {
        return statements::render(list, Dialect::Mysql, values);
    };
    let hash = hash(password);
    let of_hash = Values { password: Some(&hash), ..*values };
    let mut made = Vec::new();
    for statement in statements::split(list, Dialect::Mysql)? {
        made.extend(match statements::with_hash(&statement)? {
            Some(changed) => statements::render(&[changed], Dialect::Mysql, &of_hash)?,
            None => statements::render(&[statement], Dialect::Mysql, values)?,
        });
    }
    Ok(made)
}

/// What follows `IDENTIFIED BY`.
pub(super) fn literal(password: &SecretText, hashed: bool) -> SecretText {
    // EXPOSE: quoted; wrapped again.
    SecretText::new(match hashed {
        true => format!("PASSWORD '{}'", hash(password).expose()),
        false => quoted(password.expose()),
    })
}

/// What `mysql_native_password` keeps (<https://mariadb.com/kb/en/authentication-plugin-mysql_native_password/>).
fn hash(password: &SecretText) -> SecretText {
    // EXPOSE: hashed.
    let twice = digest::sha1_of_others(&digest::sha1_of_others(password.expose().as_bytes()));
    SecretText::new(format!("*{}", digest::hex(&twice).to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MariaDB's documentation of `PASSWORD()` has this pair.
    #[test]
    fn the_hash_is_the_servers() {
        assert_eq!(hash(&"notagoodpwd".into()).expose(), "*3A70EE9FC6594F88CE9E959CD51C5A1C002DC937");
    }

    #[test]
    fn the_password_itself_is_sent_only_where_a_hash_cannot_be() {
        let password = "s3cret".into();
        let values = Values { name: Some("u"), password: Some(&password), expiration: None };
        let shows = |statement: &str| {
            let made = render(&[statement.to_owned()], &values, true).unwrap();
            made.iter().any(|sql| sql.expose().contains("s3cret"))
        };
        for hidden in [
            "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON *.* TO '{{name}}'@'%'",
            "alter user {{name}} identified\n by \"{{ password }}\"",
            "GRANT ALL ON a.* TO '{{name}}'@'%' IDENTIFIED /* so */ BY '{{password}}' WITH GRANT OPTION",
        ] {
            assert!(!shows(hidden), "{hidden}");
        }
        for shown in [
            "SET PASSWORD FOR '{{name}}'@'%' = PASSWORD('{{password}}')",
            "CREATE USER '{{name}}' IDENTIFIED BY '{{password}}' COMMENT '{{password}}'",
            "SELECT 'IDENTIFIED BY', '{{password}}'",
            "CREATE USER {{name}} IDENTIFIED BY {{password}}",
        ] {
            assert!(shows(shown), "{shown}");
        }
        let plain = "CREATE USER '{{name}}' IDENTIFIED BY '{{password}}'".to_owned();
        let made = render(std::slice::from_ref(&plain), &values, false).unwrap();
        assert_eq!(made[0].expose(), "CREATE USER 'u' IDENTIFIED BY 's3cret'");
    }
}

//! The first manifest: sound whatever the file, complete, and with the places that people expect.
#![expect(clippy::unwrap_used, reason = "test code")]

use coffre_manifest::{Kind, Local, Manifest, Mode};
use coffre_migrate::{Draft, File, Reader, Sources, classify, draft};
use coffre_secret::SecretText;
use proptest::prelude::*;

fn drafted(text: &str, existing: Option<&Manifest>) -> Draft {
    let file = File::dotenv(".env", text.as_bytes().to_vec());
    let sources = Sources::read(vec![file], Reader::Unknown, &|_: &str| None::<SecretText>).unwrap();
    draft(&classify(&sources, existing), &sources, existing)
}

fn manifest(draft: &Draft) -> Manifest {
    Manifest::new("atmr", vec!["prod".to_owned()], draft.entries.clone(), draft.config.clone()).unwrap()
}

#[test]
fn the_plans_secrets_get_the_plans_paths() {
    let draft = drafted(
        "SECRET_KEY=a1b2\nJWT_SECRET_KEY=c3d4\nAPP_ENCRYPTION_KEY_B64=QUJD\nDATABASE_URL=postgresql://u:p@h/d\n\
         REDIS_URL=redis://:pw@r/0\nMAIL_PASSWORD=m\nGOOGLE_PLACES_API_KEY=g\nOPENWEATHER_API_KEY=o\nSENTRY_DSN=https://k@s/1\n\
         FLASK_ENV=production\nPDF_BASE_URL=https://pdf.example.com\n",
        None,
    );
    let manifest = manifest(&draft);
    for (name, path, kind) in [
        ("SECRET_KEY", "flask/secret_key", Kind::SigningKey),
        ("JWT_SECRET_KEY", "jwt/secret_key", Kind::SigningKey),
        ("APP_ENCRYPTION_KEY_B64", "encryption/master_key", Kind::EncryptionKey),
        ("DATABASE_URL", "database/creds", Kind::Postgresql),
        ("REDIS_URL", "redis/creds", Kind::Redis),
        ("MAIL_PASSWORD", "mail/password", Kind::Password),
        ("GOOGLE_PLACES_API_KEY", "api/google_places", Kind::External),
        ("OPENWEATHER_API_KEY", "api/openweather", Kind::External),
        ("SENTRY_DSN", "monitoring/sentry", Kind::External),
    ] {
        let entry = manifest.entry(name).unwrap();
        assert_eq!((entry.path.as_deref(), entry.kind), (Some(path), kind), "{name}");
    }
    assert_eq!(manifest.config(), ["FLASK_ENV", "PDF_BASE_URL"]);
    let jwt = manifest.entry("JWT_SECRET_KEY").unwrap().rotation.clone().unwrap();
    assert_eq!((jwt.mode, jwt.every.unwrap().text()), (Mode::Automatic, "30d"));
    assert_eq!(manifest.entry("REDIS_URL").unwrap().local, Some(Local::Env));
}

#[test]
fn the_parts_of_a_composed_secret_go_with_it() {
    let draft = drafted(
        "DB_USER=atmr\nDB_PASSWORD=hunter2\nURL=postgresql://${DB_USER}:${DB_PASSWORD}@db/atmr\n",
        None,
    );
    let manifest = manifest(&draft);
    assert!(manifest.entry("DB_USER").unwrap().path.is_some());
    assert_eq!(
        manifest.entry("URL").unwrap().template.as_ref().unwrap().text(),
        "postgresql://{DB_USER}:{DB_PASSWORD}@db/atmr"
    );
}

#[test]
fn what_is_there_is_not_proposed_again() {
    let existing = Manifest::parse(
        "app = \"a\"\nenvironments = [\"prod\"]\n[secret.LEVEL]\npath = \"api/x\"\n[config]\nnames = [\"A_TOKEN\"]\n",
    )
    .unwrap();
    let draft = drafted("LEVEL=info\nA_TOKEN=not-really\nX_API_KEY=k\n", Some(&existing));
    assert_eq!(draft.config, Vec::<String>::new());
    let paths: Vec<_> = draft.entries.iter().map(|entry| entry.path.as_deref().unwrap()).collect();
    assert_eq!(paths, ["api/x_2"], "places that are taken are left alone");
}

proptest! {
    #[test]
    fn any_file_gives_a_sound_manifest_that_names_every_variable(
        lines in prop::collection::vec(("[A-Za-z_][A-Za-z0-9_]{0,12}", "[ -~]{0,24}"), 0..12)
    ) {
        let text: String = lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let draft = drafted(&text, None);
        let manifest = manifest(&draft);
        let file = File::dotenv(".env", text.into_bytes());
        let sources = Sources::read(vec![file], Reader::Unknown, &|_: &str| None::<SecretText>).unwrap();
        for variable in sources.variables().iter().filter(|variable| variable.value.is_some()) {
            let named = manifest.entry(&variable.name).is_some() || manifest.config().contains(&variable.name);
            prop_assert!(named, "{}", variable.name);
        }
        prop_assert_eq!(Manifest::parse(&manifest.to_toml(&draft.notes)), Ok(manifest));
    }
}

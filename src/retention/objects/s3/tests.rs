//! What a bucket does for the archive: at a real implementation of S3, and at servers that fail.

#[path = "../../../../tests/support/moto.rs"]
mod moto;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::S3;
use super::scripted::{Act, Scripted};
use crate::http::{self, Credential};
use crate::record::Secret;
use crate::retention::objects::{Listing, Objects};
use crate::retention::tiers::{self, Bucket};
use moto::{Moto, PAGE};

fn server(address: &str) -> tiers::S3 {
    let key = |text: &str| Credential::Inline(Secret::new(text));
    tiers::S3 {
        endpoint: Some(format!("http://{address}").parse().unwrap()),
        region: Some("us-east-1".to_owned()),
        keys: Some((key("identifier"), key("hunter2"))),
        path_style: true,
        http: http::Settings::plain(Duration::from_secs(20)),
    }
}

fn bucket(name: &str, prefix: &str, server: tiers::S3) -> Bucket {
    Bucket { name: name.to_owned(), prefix: prefix.to_owned(), server: Arc::new(server) }
}

fn open_within(address: &str, timeout: Duration) -> S3 {
    let server = tiers::S3 { http: http::Settings::plain(timeout), ..server(address) };
    S3::open(&bucket("logs", "", server)).unwrap()
}

fn open(address: &str, bucket: &str, prefix: &str) -> S3 {
    S3::open(&self::bucket(bucket, prefix, server(address))).unwrap()
}

#[test]
fn objects_of_a_bucket_are_put_listed_read_and_removed() {
    let Some(moto) = Moto::start() else { return };
    moto.make_bucket("logs");
    for prefix in ["", "cold/2026"] {
        let s3 = open(&moto.address, "logs", prefix);
        assert_eq!(s3.list("").unwrap().objects, Vec::<String>::new());
        assert_eq!(s3.list("date=none").unwrap(), Listing::default());
        let name = |service, object| format!("date=2026-11-18/host=h/service={service}/{object}.parquet");
        s3.put(&name("a", "1"), "one".into()).unwrap();
        s3.put(&name("a", "1"), "another".into()).unwrap();
        s3.put(&name("b", "2"), "two".into()).unwrap();
        assert_eq!(s3.list("").unwrap().directories, ["date=2026-11-18"]);
        assert_eq!(s3.list("date=2026-11-18/host=h/service=a").unwrap().objects, [name("a", "1")]);
        assert_eq!(s3.below("date=2026-11-18").unwrap(), [name("a", "1"), name("b", "2")]);
        assert_eq!(s3.below("date=2026-11").unwrap(), Vec::<String>::new(), "it is no directory");
        assert_eq!(s3.read(&name("a", "1")).unwrap(), "another".as_bytes());
        s3.remove(&name("a", "1")).unwrap();
        s3.remove(&name("a", "1")).unwrap();
        assert_eq!(s3.read(&name("a", "1")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(s3.below("").unwrap(), [name("b", "2")]);
        // Before the other prefix is looked at.
        s3.remove(&name("b", "2")).unwrap();
        assert_eq!(s3.list("").unwrap(), Listing::default());
    }
    names_are_keys_to_the_letter(&moto);
    listings_of_many_pages_are_whole(&moto);
    a_bucket_that_is_not_there_is_an_error_and_not_an_empty_place(&moto);
}

fn names_are_keys_to_the_letter(moto: &Moto) {
    moto.make_bucket("odd");
    let s3 = open(&moto.address, "odd", "pre fix");
    let services = ["a%2Fb", "100%25", "a b+c", "größe", "_", "a=b:c", "(x)", "a%00", "~$,;@!'*"];
    let name = |service: &str| format!("date=2026-11-18/host=h/service={service}/1.json");
    for service in services {
        s3.put(&name(service), service.to_owned().into()).unwrap();
        assert_eq!(s3.read(&name(service)).unwrap(), service.as_bytes());
    }
    let mut wanted: Vec<String> = services.iter().map(|service| name(service)).collect();
    wanted.sort();
    assert_eq!(s3.below("").unwrap(), wanted);
    for service in services {
        let directory = format!("date=2026-11-18/host=h/service={service}");
        assert_eq!(s3.list(&directory).unwrap().objects, [name(service)]);
    }
    let mut keys = moto.keys("odd");
    keys.sort();
    let wanted: Vec<String> = wanted.iter().map(|name| format!("pre fix/{name}")).collect();
    assert_eq!(keys, wanted, "as other engines see them");
    // What others leave there, and what readers are to pass over.
    let whole = open(&moto.address, "odd", "");
    for name in ["x/.hidden", "x/.wal/1.json", "x/y.json"] {
        whole.put(name, "".into()).unwrap();
    }
    assert_eq!(whole.below("x").unwrap(), ["x/y.json"]);
    assert_eq!(
        whole.list("x").unwrap(),
        Listing { directories: Vec::new(), objects: vec!["x/y.json".into()] }
    );
    assert_eq!(s3.put("a//b", "".into()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

fn listings_of_many_pages_are_whole(moto: &Moto) {
    moto.make_bucket("many");
    let s3 = open(&moto.address, "many", "p");
    let names: Vec<String> = (0..PAGE * 2 + 20).map(|number| format!("d=1/s={number:04}/x.json")).collect();
    for name in &names {
        s3.put(name, "".into()).unwrap();
    }
    assert_eq!(s3.below("").unwrap(), names);
    let gone = [&names[0..2], &["d=1/x.json".to_owned()], &names[2..4]].concat();
    let read: Vec<bool> = s3.read_several(&gone).iter().map(Result::is_ok).collect();
    assert_eq!(read, [true, true, false, true, true]);
    assert_eq!(s3.list("d=1").unwrap().directories.len(), names.len());
}

fn a_bucket_that_is_not_there_is_an_error_and_not_an_empty_place(moto: &Moto) {
    let s3 = open(&moto.address, "nowhere", "");
    let failed = [
        s3.list("").unwrap_err(),
        s3.below("").unwrap_err(),
        s3.read("x").unwrap_err(),
        s3.put("x", "".into()).unwrap_err(),
        s3.remove("x").unwrap_err(),
    ];
    for error in failed {
        assert_ne!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with("there is no such bucket (NoSuchBucket"), "{error}");
    }
}

const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

#[test]
fn what_may_help_is_tried_again() {
    let upload = vec![b'x'; 3_000_000];
    for act in [
        Act::Answer(500, ""),
        Act::Answer(503, SLOW_DOWN),
        Act::Answer(429, ""),
        Act::HalfRequest,
        Act::HalfAnswer(""),
    ] {
        let server = Scripted::start(&[act, act], Act::Answer(200, ""));
        open(&server.address, "logs", "p").put("x", upload.clone().into()).unwrap();
        let requests = server.requests();
        assert_eq!(requests.len(), 3, "{act:?}");
        assert_eq!(requests[2].what, "PUT /logs/p/x", "{act:?}");
        assert_eq!(requests[2].body, upload, "the same, from the beginning: {act:?}");
    }
    let server = Scripted::start(&[Act::HalfAnswer("hal"), Act::Answer(503, "")], Act::Answer(200, "whole"));
    assert_eq!(open(&server.address, "logs", "").read("x").unwrap(), "whole".as_bytes());
    assert_eq!(server.requests().len(), 3);

    // One that says nothing.
    let server = Scripted::start(&[Act::Silence], Act::Answer(200, "late"));
    let s3 = open_within(&server.address, Duration::from_millis(500));
    assert_eq!(s3.read("x").unwrap(), "late".as_bytes());
}

#[test]
fn failures_are_told_in_a_sentence_and_end() {
    let denied = "<Error><Code>AccessDenied</Code><Message>Access\n  Denied</Message></Error>";
    let no_bucket =
        "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
    let no_key = "<Error><Code>NoSuchKey</Code></Error>";
    for (act, kind, wanted) in [
        (
            Act::Answer(403, denied),
            ErrorKind::PermissionDenied,
            "the server denies access (AccessDenied: Access Denied)",
        ),
        (
            Act::Answer(404, no_bucket),
            ErrorKind::Other,
            "there is no such bucket (NoSuchBucket: The specified bucket does not exist)",
        ),
        (Act::Answer(404, no_key), ErrorKind::NotFound, "there is no such object (NoSuchKey)"),
        (
            Act::Answer(503, SLOW_DOWN),
            ErrorKind::Other,
            "the server answers 503 Service Unavailable (SlowDown: Please reduce your request rate.)",
        ),
        (Act::Answer(418, "I am a teapot"), ErrorKind::Other, "the server answers 418 I'm a teapot"),
    ] {
        let server = Scripted::start(&[], act);
        let s3 = open(&server.address, "logs", "");
        for error in [s3.read("x").unwrap_err(), s3.put("x", "y".into()).unwrap_err()] {
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, wanted), "{act:?}");
        }
    }
    let server = Scripted::start(&[], Act::Silence);
    let s3 = open_within(&server.address, Duration::from_millis(50));
    let error = s3.put("x", "y".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().starts_with("the server does not answer in time: "), "{error}");

    let server = Scripted::start(&[], Act::HalfRequest);
    let error = open(&server.address, "logs", "").put("x", vec![0; 3_000_000].into()).unwrap_err();
    assert!(error.to_string().starts_with("the connection to the server broke: "), "{error}");

    for (address, wanted) in [
        ("127.0.0.1:1", "the server cannot be reached: error sending request: client error (Connect): "),
        (
            "nowhere.invalid",
            "the server cannot be reached: error sending request: client error (Connect): dns error",
        ),
    ] {
        let error = open(address, "logs", "").list("").unwrap_err();
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
    let server = Scripted::start(&[], Act::Answer(200, "<p>Welcome</p>"));
    let error = open(&server.address, "logs", "").list("").unwrap_err();
    assert_eq!(error.to_string(), "the server's answer is no listing of a bucket");
}

#[tokio::test]
async fn a_bucket_can_be_asked_and_closed_inside_of_a_runtime() {
    let server = Scripted::start(&[], Act::Answer(200, "body"));
    let s3 = open(&server.address, "logs", "");
    assert_eq!(s3.read("x").unwrap(), "body".as_bytes());
    drop(s3);
}

/// What a server sees of a request for an object: whose key it is signed with, and with which token.
fn signer(server: &Scripted) -> (String, Option<String>) {
    let head = server.requests().last().unwrap().head.clone();
    let after = |text: &str, end: &[char]| {
        let (_, rest) = head.split_once(text)?;
        rest.split(end).next().map(str::to_owned)
    };
    (after("Credential=", &['/']).unwrap(), after("x-amz-security-token: ", &['\r']))
}

#[test]
fn keys_come_from_files_the_environment_a_web_identity_or_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let scripted = Scripted::start(&[], Act::Answer(200, "body"));
    let (id, secret) = (file("id", "first\n"), file("secret", "hunter2\n"));
    let keys = Some((Credential::File(id.clone()), Credential::File(secret)));
    let variables = |variables: Vec<(&'static str, String)>| {
        move |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.clone())
        }
    };
    let environment = variables(vec![
        ("AWS_ACCESS_KEY_ID", "environment".into()),
        ("AWS_SECRET_ACCESS_KEY", "s".into()),
        ("AWS_SESSION_TOKEN", "token".into()),
        ("AWS_ENDPOINT_URL_S3", "http://nowhere.invalid".into()),
    ]);
    let given = bucket("logs", "", tiers::S3 { keys, ..server(&scripted.address) });
    let s3 = S3::open_in(&given, &environment).unwrap();
    s3.read("x").unwrap();
    assert_eq!(signer(&scripted), ("first".to_owned(), None));
    std::fs::write(&id, "second").unwrap();
    s3.read("x").unwrap();
    assert_eq!(signer(&scripted), ("second".to_owned(), None), "renewed without a restart");
    std::fs::remove_file(&id).unwrap();
    let error = s3.read("x").unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot read {}", id.display())), "{error}");

    let without_keys = |address: &str| bucket("logs", "", tiers::S3 { keys: None, ..server(address) });
    let s3 = S3::open_in(&without_keys(&scripted.address), &environment).unwrap();
    s3.read("x").unwrap();
    assert_eq!(signer(&scripted), ("environment".to_owned(), Some("token".to_owned())));

    let elsewhere = variables(vec![
        ("AWS_ENDPOINT_URL", format!("http://{}", scripted.address)),
        ("AWS_ACCESS_KEY_ID", "environment".into()),
        ("AWS_SECRET_ACCESS_KEY", "s".into()),
    ]);
    let nowhere = tiers::S3 { endpoint: None, keys: None, ..server("unused") };
    let s3 = S3::open_in(&bucket("logs", "", nowhere), &elsewhere).unwrap();
    assert_eq!(s3.read("x").unwrap(), "body".as_bytes(), "the address is that of the environment");

    const ROLE: &str = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
        <AccessKeyId>role</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>of-role</SessionToken>\
        <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
        </AssumeRoleWithWebIdentityResponse>";
    let scripted = Scripted::start(&[Act::Answer(200, ROLE)], Act::Answer(200, "body"));
    let address = scripted.address.clone();
    let identity = variables(vec![
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file("token", "jwt").display().to_string()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r".into()),
        ("AWS_ENDPOINT_URL_STS", format!("http://{address}")),
    ]);
    S3::open_in(&without_keys(&address), &identity).unwrap().read("x").unwrap();
    assert_eq!(signer(&scripted), ("role".to_owned(), Some("of-role".to_owned())));

    const MACHINE: &str = r#"{"AccessKeyId":"machine","SecretAccessKey":"s","Token":"of-machine","Expiration":"2099-01-01T00:00:00Z"}"#;
    let script = [Act::Answer(200, "session"), Act::Answer(200, "role"), Act::Answer(200, MACHINE)];
    let scripted = Scripted::start(&script, Act::Answer(200, "body"));
    let address = scripted.address.clone();
    let machine = variables(vec![("AWS_METADATA_ENDPOINT", format!("http://{address}"))]);
    S3::open_in(&without_keys(&address), &machine).unwrap().read("x").unwrap();
    assert_eq!(signer(&scripted), ("machine".to_owned(), Some("of-machine".to_owned())));

    // None of them gives keys, which says nothing about objects.
    let scripted = Scripted::start(&[], Act::Answer(404, "no role"));
    let address = scripted.address.clone();
    let machine = variables(vec![("AWS_METADATA_ENDPOINT", format!("http://{address}"))]);
    let identity = variables(vec![
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file("token", "jwt").display().to_string()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r".into()),
        ("AWS_ENDPOINT_URL_STS", format!("http://{address}")),
    ]);
    let machine = S3::open_in(&without_keys(&address), &machine).unwrap();
    let identity = S3::open_in(&without_keys(&address), &identity).unwrap();
    for (s3, kind, wanted) in [
        (
            machine,
            ErrorKind::PermissionDenied,
            "there are no keys: none are configured, and the machine gives none: it answers 404 Not Found",
        ),
        (identity, ErrorKind::Other, "the server answers 404 Not Found"),
    ] {
        for error in [s3.read("x").unwrap_err(), s3.remove("x").unwrap_err(), s3.below("").unwrap_err()] {
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, wanted));
        }
    }
}

#[test]
fn a_bucket_stands_in_the_path_or_before_the_server_and_a_proxy_is_asked() {
    let proxy = Scripted::start(&[], Act::Answer(200, "body"));
    for (path_style, wanted) in [
        (true, "GET http://minio.test:9000/logs/p/x%2525"),
        (false, "GET http://logs.minio.test:9000/p/x%2525"),
    ] {
        let mut server = tiers::S3 { path_style, ..server("minio.test:9000") };
        server.http.connection.proxy = http::Proxy::Through {
            http: Some(Secret::new(format!("http://{}", proxy.address))),
            https: None,
            except: http::NoProxy::parse(""),
            connect_headers: http::Headers::default(),
        };
        let s3 = S3::open(&bucket("logs", "p", server)).unwrap();
        s3.read("x%25").unwrap();
        assert_eq!(proxy.requests().last().unwrap().what, wanted);
    }
}

//! `http_tls_config`: the pages over HTTPS.
//! In: the block, `tls_min_version`.  Out: [`ServerTls`], with its files read once.  Owns: its table.

use tracing::warn;

use crate::agent::settings::http_client::{credential, is_given, key};
use crate::config::{Block, Invalid, Kind, Node, Table, row};
use crate::http::{ClientAuth, ServerTls, ServerTlsSettings};

pub(super) static TLS: Table = Table(&[
    row("cert", Kind::Text, "", "Certificate and its chain in PEM; needs its key"),
    row("cert_file", Kind::Text, "", "The same, from a file; files that change are picked up"),
    row("key", Kind::Secret, "", "Key of the certificate in PEM"),
    row("key_file", Kind::Text, "", "The same, from a file"),
    row("client_ca", Kind::Text, "", "Authorities in PEM that certificates of clients are verified against"),
    row("client_ca_file", Kind::Text, "", "The same, from a file"),
    row(
        "client_auth_type",
        Kind::Text,
        "NoClientCert",
        "`RequestClientCert` and `RequireAnyClientCert` take any certificate; `VerifyClientCertIfGiven` and \
         `RequireAndVerifyClientCert` need the authorities",
    ),
]);

/// Reads what is said of TLS; `None` where the pages are served without.
pub(super) fn decode(server: &Block<'_>) -> Result<Option<ServerTls>, Invalid> {
    let only_13 = server.optional("tls_min_version", min_version)?.unwrap_or(false);
    let Some(node) = server.get("http_tls_config") else { return Ok(None) };
    let block = node.block(&TLS)?;
    let cert = credential(node, &block, "cert", "cert_file")?;
    let private = credential(node, &block, "key", "key_file")?;
    let clients = clients(node, &block)?;
    let given = |keys: [&'static str; 2]| if is_given(&block, keys[0]) { keys[0] } else { keys[1] };
    let (cert, private) = match (cert, private) {
        (Some(cert), Some(private)) => (cert, private),
        (None, None) if matches!(clients, ClientAuth::None) => return Ok(None),
        (Some(_), None) => {
            let given = given(["cert", "cert_file"]);
            let invalid = key(node, given).invalid(format!("`{given}` needs the key of this certificate"));
            return Err(invalid.help("give it as `key` or `key_file`"));
        }
        (None, Some(_)) => {
            let given = given(["key", "key_file"]);
            let invalid = key(node, given).invalid(format!("`{given}` needs the certificate of this key"));
            return Err(invalid.help("give it as `cert` or `cert_file`"));
        }
        (None, None) => {
            let asked = key(node, "client_auth_type");
            let invalid = asked.invalid("clients cannot be asked for certificates by a server without one");
            return Err(invalid.help("give `cert_file` and `key_file`"));
        }
    };
    let tls = ServerTls::new(ServerTlsSettings { cert, key: private, clients, only_13 });
    tls.map(Some).map_err(|error| key(node, error.key).invalid(error.to_string()))
}

fn clients(node: &Node, block: &Block<'_>) -> Result<ClientAuth, Invalid> {
    let authorities = credential(node, block, "client_ca", "client_ca_file")?;
    let given = if is_given(block, "client_ca") { "client_ca" } else { "client_ca_file" };
    let asked = block.optional("client_auth_type", Node::text)?.unwrap_or_default();
    let needs = || {
        let invalid = key(node, "client_auth_type").invalid(format!("`{asked}` needs authorities"));
        invalid.help("give them as `client_ca` or `client_ca_file`")
    };
    match (asked, authorities) {
        ("" | "NoClientCert", None) => Ok(ClientAuth::None),
        ("" | "NoClientCert", Some(_)) => {
            let invalid =
                key(node, given).invalid(format!("`{given}` is of no use, as clients are not asked"));
            Err(invalid.help("say how they are with `client_auth_type`, such as RequireAndVerifyClientCert"))
        }
        ("RequestClientCert", _) => Ok(ClientAuth::Request),
        // The second is an old name of Prometheus' exporters.
        ("RequireAnyClientCert" | "RequireClientCert", _) => Ok(ClientAuth::RequireAny),
        ("VerifyClientCertIfGiven", authorities) => {
            Ok(ClientAuth::Verify { authorities: authorities.ok_or_else(needs)?, required: false })
        }
        ("RequireAndVerifyClientCert", authorities) => {
            Ok(ClientAuth::Verify { authorities: authorities.ok_or_else(needs)?, required: true })
        }
        (other, _) => {
            let invalid = block.required("client_auth_type")?.invalid(format!("unknown policy `{other}`"));
            Err(invalid.help(
                "one of NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, \
                 RequireAndVerifyClientCert",
            ))
        }
    }
}

/// True where only TLS 1.3 is spoken.
fn min_version(node: &Node) -> Result<bool, Invalid> {
    match node.text()? {
        "" | "VersionTLS12" => Ok(false),
        "VersionTLS13" => Ok(true),
        old @ ("VersionTLS10" | "VersionTLS11") => {
            warn!(
                tls_min_version = old,
                "versions of TLS before 1.2 are not spoken, the oldest is VersionTLS12"
            );
            Ok(false)
        }
        _ => Err(node.invalid("unknown TLS version").help("VersionTLS12 or VersionTLS13")),
    }
}

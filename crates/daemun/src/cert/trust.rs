//! How to make browsers and tools trust the local authority.

use std::path::Path;

use super::quoted;

/// What is printed after a certificate was made. `name`: one that it is for.
pub fn text(authority: &Path, is_new: bool, name: &str) -> String {
    let file = quoted(authority);
    let host = if name.contains(':') { format!("[{name}]") } else { name.replace('*', "www") };
    let made = if is_new { ", made just now," } else { "" };
    let key = quoted(&authority.with_file_name("authority-key.pem"));
    format!(
        "Your local authority{made} has signed it: {file}\n\
         What does not trust that one yet warns of the certificate. To trust it, once for all that it signs:\n  \
         Debian, Ubuntu   sudo cp {file} /usr/local/share/ca-certificates/daemun.crt && sudo update-ca-certificates\n  \
         Fedora, RHEL     sudo cp {file} /etc/pki/ca-trust/source/anchors/daemun.pem && sudo update-ca-trust\n  \
         macOS            sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {file}\n  \
         Firefox          Settings, Privacy & Security, View Certificates, Authorities, Import: {file}\n  \
         Chromium, Linux  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n daemun -i {file}\n  \
         curl             curl --cacert {file} https://{host}:8000/\n  \
         Python           SSL_CERT_FILE={file}\n\
         Keep {key} to yourself: who has it can pass for any site to those who trust the authority.\n"
    )
}

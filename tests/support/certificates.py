# SPDX-License-Identifier: Apache-2.0
"""X.509 certificates for tests, made anew with certtool and laid out as QEMU and libvirt have them."""

import os

from harness import run

EXPIRED = 'activation_date = "2020-01-01 00:00:00 UTC"\nexpiration_date = "2020-02-01 00:00:00 UTC"'


class CertificateMaker:
    """For test cases of the harness: everything is made in their scratch folder."""

    def authority(self, name):
        self.template(name, f"cn = {name}\nca\ncert_signing_key\nexpiration_days = 10\n")
        self.key(self.path(f"{name}-key.pem"))
        run("certtool", "--generate-self-signed", "--load-privkey", self.path(f"{name}-key.pem"), "--template",
            self.path(f"{name}.info"), "--outfile", self.path(f"{name}-cert.pem"))

    @staticmethod
    def key(path):
        run("certtool", "--generate-privkey", "--key-type=ecdsa", "--curve=secp256r1", "--outfile", path)

    def template(self, name, content):
        with open(self.path(f"{name}.info"), "w", encoding="ascii") as file:
            file.write(content)

    def folder(self, name, authority):
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        run("cp", self.path(f"{authority}-cert.pem"), os.path.join(path, "ca-cert.pem"))
        return path

    def certificate(self, folder, kind, authority, name, lifetime="expiration_days = 10", host="localhost"):
        self.template(name, f"cn = {name}\norganization = Example\ndns_name = {host}\nip_address = 127.0.0.1\n"
                            f"tls_www_{kind}\nencryption_key\nsigning_key\n{lifetime}\n")
        key = os.path.join(folder, f"{kind}-key.pem")
        self.key(key)
        run("certtool", "--generate-certificate", "--load-privkey", key,
            "--load-ca-certificate", self.path(f"{authority}-cert.pem"),
            "--load-ca-privkey", self.path(f"{authority}-key.pem"),
            "--template", self.path(f"{name}.info"), "--outfile", os.path.join(folder, f"{kind}-cert.pem"))
        return folder

    def client(self, name, authority="ca", **settings):
        return self.certificate(self.folder(name, "ca"), "client", authority, name, **settings)

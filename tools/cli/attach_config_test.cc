// SPDX-License-Identifier: Apache-2.0
// What the tools themselves say of the text: tests/e2e/attach_config_test.py.
#include "tools/cli/attach_config.h"

#include <gtest/gtest.h>

namespace mica {
namespace {

TEST(NbdUri, EveryForm) {
  const auto socket = ParseNbdUri("nbd+unix:///a%20b/c?x=1&socket=/run/s%3F");
  ASSERT_TRUE(socket) << socket.error().message;
  EXPECT_EQ(socket->export_name, "a b/c");
  EXPECT_EQ(socket->socket, "/run/s?");
  const auto tcp = ParseNbdUri("nbds://host:99/vm");
  ASSERT_TRUE(tcp);
  EXPECT_TRUE(tcp->tls);
  EXPECT_EQ(tcp->host, "host");
  EXPECT_EQ(tcp->port, "99");
  const auto plain = ParseNbdUri("nbd://host");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->port, "10809");
  EXPECT_EQ(plain->export_name, "");
  const auto v6 = ParseNbdUri("nbd://[::1]:7/x");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, "7");
  const auto vsock = ParseNbdUri("nbd+vsock://2:10809/x");
  ASSERT_TRUE(vsock);
  EXPECT_EQ(vsock->host, "2");
}

TEST(NbdUri, WhatIsWrongIsSaid) {
  for (const char* const text :
       {"", "vm", "http://host/", "nbd+unix:///x", "nbd+unix:///x?socket=%2", "nbd:///x",
        "nbd://host:x/", "nbd://host/%zz", "nbd://host/%00"}) {
    const auto uri = ParseNbdUri(text);
    ASSERT_FALSE(uri) << text;
    EXPECT_EQ(uri.error().code, Errc::kInvalidArgument);
  }
}

std::string For(const char* tool, const char* uri) {
  AttachRequest request;
  request.uri = *ParseNbdUri(uri);
  if (request.uri.tls) request.certificates = "/etc/pki/a b";
  Result<std::string> text = AttachConfig(tool, request);
  return text ? *text : text.error().message;
}

TEST(AttachConfig, NamesAreQuotedForTheirPlace) {
  EXPECT_NE(For("qemu", "nbd+unix:///it's?socket=/s").find(R"("export":"it'\''s")"),
            std::string::npos);
  EXPECT_NE(For("libvirt", "nbd+unix:///a%27%3C&b?socket=/s").find("name='a&apos;&lt;&amp;b'"),
            std::string::npos);
  EXPECT_NE(For("nbd-client", "nbd+unix:///a%20b?socket=/s").find("-N 'a b'"), std::string::npos);
  EXPECT_NE(For("nbd-client", "nbds://h/x").find("-F '/etc/pki/a b/client-cert.pem'"),
            std::string::npos);
}

TEST(AttachConfig, WhatAToolCannotDoIsRefused) {
  AttachRequest request;
  request.uri = *ParseNbdUri("nbd+vsock://2/x");
  for (const char* const tool : {"libvirt", "nbd-client", "cloud-hypervisor"}) {
    EXPECT_EQ(AttachConfig(tool, request).error().code, Errc::kUnsupported) << tool;
  }
  EXPECT_TRUE(AttachConfig("qemu", request));
  EXPECT_EQ(AttachConfig("xen", request).error().code, Errc::kInvalidArgument);
  request.uri = *ParseNbdUri("nbds://host/x");
  EXPECT_EQ(AttachConfig("qemu", request).error().code, Errc::kInvalidArgument);  // no folder
}

}  // namespace
}  // namespace mica

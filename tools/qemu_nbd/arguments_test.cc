// SPDX-License-Identifier: Apache-2.0
#include "tools/qemu_nbd/arguments.h"

#include <gtest/gtest.h>

#include "tools/qemu_nbd/qemu_option.h"
#include "tools/qemu_nbd/tls_objects.h"

namespace mica {
namespace {

Result<QemuNbdArguments> Parse(std::vector<std::string> words) {
  words.insert(words.begin(), "qemu-nbd");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return ParseQemuNbdArguments(static_cast<int>(words.size()), pointers.data());
}

TEST(QemuNbdArguments, WhatScriptsUse) {
  const auto parsed = Parse({"--pid-file=/run/p", "-v", "-t", "-k", "/run/s", "-f", "raw", "-e",
                             "42", "-x", "", "--offset=1M", "-A", "-B", "b", "image"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->pid_file, "/run/p");
  EXPECT_TRUE(parsed->verbose && parsed->persistent && parsed->allocation_depth);
  EXPECT_EQ(parsed->socket, "/run/s");
  EXPECT_EQ(parsed->format, "raw");
  EXPECT_EQ(parsed->clients_max, 42u);
  EXPECT_EQ(parsed->export_name, "");
  EXPECT_EQ(parsed->offset, 1u << 20);
  EXPECT_EQ(parsed->bitmaps, std::vector<std::string>{"b"});
  EXPECT_EQ(parsed->image, "image");
}

TEST(QemuNbdArguments, OptionsMayFollowTheImageAndBeShortened) {
  const auto parsed = Parse({"image", "--persist", "--sock=/s", "--read"});
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->persistent && parsed->read_only);
}

TEST(QemuNbdArguments, WhatIsNotSupportedIsRefusedByName) {
  for (const char* const word : {"-s", "-d", "--connect=/dev/nbd0", "--image-opts",
                                 "--cache=writethrough", "--tls-hostname=x"}) {
    const auto parsed = Parse({word, "image"});
    ASSERT_FALSE(parsed) << word;
    EXPECT_EQ(parsed.error().code, Errc::kUnsupported) << word;
  }
}

TEST(QemuNbdArguments, MistakesAreErrors) {
  EXPECT_FALSE(Parse({}));
  EXPECT_FALSE(Parse({"a", "b"}));
  EXPECT_FALSE(Parse({"-p", "65536", "a"}));
  EXPECT_FALSE(Parse({"-p", "x", "a"}));
  EXPECT_FALSE(Parse({"-e", "-1", "a"}));
  EXPECT_FALSE(Parse({"-o", "99999999T", "a"}));
  EXPECT_FALSE(Parse({"-k", "relative", "a"}));
  EXPECT_FALSE(Parse({"-k", "/s", "-p", "1", "a"}));
  EXPECT_FALSE(Parse({"--cache=what", "a"}));
  EXPECT_FALSE(Parse({"--list", "a"}));
  EXPECT_TRUE(Parse({"--list", "-k", "/s"}));
}

TEST(QemuOption, CommasAreDoubledInValues) {
  const auto parsed = ParseQemuOption("authz-simple,id=a,identity=CN=x,,O=y");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->first, "authz-simple");
  EXPECT_EQ(*parsed->Find("identity"), "CN=x,O=y");
  EXPECT_EQ(parsed->Find("dir"), nullptr);
  EXPECT_FALSE(ParseQemuOption("t,noequals"));
  EXPECT_FALSE(ParseQemuOption("t,=v"));
  EXPECT_FALSE(ParseQemuOption("t,a=1,a=2"));
}

TEST(TlsObjects, EndpointAndTypeMustFit) {
  QemuNbdArguments arguments;
  arguments.objects = {"tls-creds-psk,id=p,endpoint=server,dir=/none",
                       "tls-creds-x509,id=c,endpoint=client,dir=/none",
                       "authz-simple,id=z,identity=me"};
  arguments.tls_credentials = "p";
  const auto found = FindTlsObject(arguments, TlsEndpoint::kServer);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->pre_shared_key);
  EXPECT_FALSE(FindTlsObject(arguments, TlsEndpoint::kClient));
  for (const char* const wrong : {"c", "z", "none"}) {
    arguments.tls_credentials = wrong;
    EXPECT_FALSE(FindTlsObject(arguments, TlsEndpoint::kServer)) << wrong;
  }
}

}  // namespace
}  // namespace mica

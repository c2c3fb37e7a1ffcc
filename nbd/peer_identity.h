// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace mica::nbd {

// Who a client has proved to be.
struct PeerIdentity {
  bool encrypted = false;
  // What rules of exports may name: "psk:USER" for a pre-shared key; "dn:DN" (RFC 4514) and
  // "cn:NAME" of a verified certificate. None in clear text, or when no certificate was asked for.
  std::vector<std::string> names;

  // Whether one of `rules` names this client; nobody is kept out by no rules.
  [[nodiscard]] bool MatchesAny(const std::vector<std::string>& rules) const {
    return rules.empty() || std::ranges::any_of(rules, [this](const std::string& rule) {
             return std::ranges::find(names, rule) != names.end();
           });
  }
};

}  // namespace mica::nbd

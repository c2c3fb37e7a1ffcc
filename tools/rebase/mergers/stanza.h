// SPDX-License-Identifier: Apache-2.0
// Files of stanzas ("Field: value" lines, blank line between): the databases of dpkg, apt and
// debconf.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {

struct StanzaField {
  std::string name;
  std::string value;  // with its continuation lines, without the last line feed
};

class Stanza {
 public:
  // Lines without a colon go with the field before them; blank lines are skipped.
  static Stanza Parse(std::string_view text);

  [[nodiscard]] const std::vector<StanzaField>& fields() const { return fields_; }
  // Names are compared as they are written. Get is empty when there is no such field, too.
  [[nodiscard]] std::string_view Get(std::string_view name) const;
  [[nodiscard]] std::optional<std::string_view> Find(std::string_view name) const;
  // Without a value the field goes.
  void Set(std::string_view name, std::optional<std::string_view> value);
  [[nodiscard]] std::string Format() const;  // without the blank line

 private:
  std::vector<StanzaField> fields_;
};

// The stanzas' texts, each ending in a line feed, blank lines taken away.
std::vector<std::string> SplitStanzas(std::string_view text);

// dpkg's status and available, apt's extended_states: by package (and architecture where several
// are installed). Where both changed the version, the whole stanza is the side's that the context
// names, else the higher version's.
MergeOutput MergePackageStanzas(const MergeInput& input);
// debconf's config, templates and passwords: by name; owners and flags are sets.
MergeOutput MergeDebconf(const MergeInput& input);

}  // namespace mica::rebase

// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/database.h"

#include "tools/rebase/mergers/records.h"
#include "tools/rebase/mergers/stanza.h"

namespace mica::rebase {
namespace {

std::vector<std::string> ParseConffiles(std::string_view value) {
  std::vector<std::string> paths;
  for (const std::string& line : SplitText(value, "\n")) {
    const size_t begin = line.find('/');
    if (begin == std::string::npos) continue;
    paths.push_back(line.substr(begin, line.find(' ', begin) - begin));
  }
  return paths;
}

}  // namespace

bool Package::unpacked() const {
  const std::string state = status.substr(status.rfind(' ') + 1);
  return !version.empty() && state != "not-installed" && state != "config-files" && !state.empty();
}

std::vector<Package> ParsePackages(std::string_view status_file) {
  std::vector<Package> packages;
  for (const std::string& text : SplitStanzas(status_file)) {
    const Stanza stanza = Stanza::Parse(text);
    Package package;
    for (const StanzaField& field : stanza.fields()) {
      if (field.name == "Package") package.name = field.value;
      if (field.name == "Architecture") package.architecture = field.value;
      if (field.name == "Version") package.version = field.value;
      if (field.name == "Status") package.status = field.value;
      if (field.name == "Multi-Arch") package.multi_arch_same = field.value == "same";
      if (field.name == "Conffiles") package.conffiles = ParseConffiles(field.value);
      for (const char* name :
           {"Depends", "Pre-Depends", "Provides", "Breaks", "Conflicts", "Replaces"}) {
        if (field.name == name) package.relations.emplace(name, field.value);
      }
    }
    if (!package.name.empty()) packages.push_back(std::move(package));
  }
  return packages;
}

}  // namespace mica::rebase

// SPDX-License-Identifier: Apache-2.0
// The report of a fleet job as a web page: no script, no style or picture from elsewhere, so that
// it can be mailed and kept.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tools/rebase/fleet/fleet_report.h"

namespace mica::rebase {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Rebase report</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .2em .7em; text-align: left }
tr:nth-child(even) { background: #f4f4f4 } th { border-bottom: 2px solid #888 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.bar { display: inline-block; height: .8em; background: #4a7fb5; vertical-align: middle }
.bar.after { background: #6aa84f } .bar.bad { background: #c0504d }
.quarantined, .blocked, .failed { color: #a00 } .conflicts { color: #850 }
</style></head><body>
)";

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string Mebibytes(uint64_t bytes) {
  return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20));
}

// `value` of `most` as a bar of at most 20em.
std::string Bar(uint64_t value, uint64_t most, std::string_view kind) {
  const double part =
      most == 0 ? 0 : static_cast<double>(value) / static_cast<double>(std::max(most, value));
  return fmt::format("<span class=\"bar {}\" style=\"width:{:.2f}em\"></span>", kind, 20 * part);
}

uint64_t NumberAt(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  return json.contains(at) && json[at].is_number_unsigned() ? json[at].get<uint64_t>() : 0;
}

std::string TextAt(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? Escaped(found->get<std::string>()) : "";
}

// How many of a VM's changes a person should look at.
uint64_t ConflictsOf(const Json& vm) {
  return NumberAt(vm, "/summary/counts/warn") + NumberAt(vm, "/summary/counts/error") +
         NumberAt(vm, "/summary/counts/block");
}

std::string CountsTable(std::string_view title, std::string_view what, const Json& counts) {
  uint64_t most = 0;
  for (const auto& [name, count] : counts.items()) most = std::max(most, count.get<uint64_t>());
  std::string rows;
  for (const auto& [name, count] : counts.items()) {
    rows += fmt::format("<tr><td class=\"{0}\">{0}</td><td class=\"n\">{1}</td><td>{2}</td></tr>\n",
                        Escaped(name), count.get<uint64_t>(), Bar(count.get<uint64_t>(), most, ""));
  }
  if (rows.empty()) rows = "<tr><td>none</td></tr>\n";
  return fmt::format(
      "<h2>{}</h2>\n<table><tr><th>{}</th><th class=\"n\">count</th><th></th></tr>\n{}</table>\n",
      title, what, rows);
}

// VMs by their number of conflicts: 0, 1, 2-3, 4-7, 8-15, …
std::string Distribution(const Json& vms) {
  std::map<uint64_t, uint64_t> counts;  // by the first number of the class
  for (const Json& vm : vms) {
    if (!vm.contains("summary")) continue;
    const uint64_t conflicts = ConflictsOf(vm);
    uint64_t first = conflicts == 0 ? 0 : 1;
    while (first != 0 && first * 2 <= conflicts) first *= 2;
    ++counts[first];
  }
  uint64_t most = 0;
  for (const auto& [first, count] : counts) most = std::max(most, count);
  std::string rows;
  for (const auto& [first, count] : counts) {
    const std::string name =
        first < 2 ? fmt::format("{}", first) : fmt::format("{} to {}", first, 2 * first - 1);
    rows += fmt::format("<tr><td>{}</td><td class=\"n\">{}</td><td>{}</td></tr>\n", name, count,
                        Bar(count, most, ""));
  }
  return "<h2>Distribution of conflicts</h2>\n<table><tr><th>conflicts</th>"
         "<th class=\"n\">VMs</th><th></th></tr>\n" +
         rows + "</table>\n";
}

std::string VmRowHtml(const Json& vm, uint64_t most_bytes) {
  const uint64_t before = NumberAt(vm, "/summary/delta_before/file-bytes");
  const uint64_t after = NumberAt(vm, "/summary/delta_after/file-bytes");
  return fmt::format(
      "<tr><td>{}</td><td class=\"{}\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1f}</td>"
      "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>"
      "<td>{}<br>{}</td><td>{}</td></tr>\n",
      TextAt(vm, "vm"), TextAt(vm, "state"), TextAt(vm, "state"), ConflictsOf(vm),
      vm.value("seconds", 0.0), Mebibytes(before), Mebibytes(after),
      Mebibytes(NumberAt(vm, "/summary/delta_after/shared-bytes")), Bar(before, most_bytes, ""),
      Bar(after, most_bytes, "after"), TextAt(vm, "message"));
}

std::string VmTable(const Json& vms) {
  uint64_t most = 0;
  for (const Json& vm : vms) {
    most = std::max({most, NumberAt(vm, "/summary/delta_before/file-bytes"),
                     NumberAt(vm, "/summary/delta_after/file-bytes")});
  }
  std::string text =
      "<h2>Each VM</h2>\n<table><tr><th>VM</th><th>state</th><th class=\"n\">conflicts</th>"
      "<th class=\"n\">seconds</th><th class=\"n\">MiB before</th><th class=\"n\">after</th>"
      "<th class=\"n\">shared</th><th>space</th><th></th></tr>\n";
  for (const Json& vm : vms) text += VmRowHtml(vm, most);
  return text + "</table>\n";
}

}  // namespace

std::string FleetPage(const Json& report) {
  std::string page(kHead);
  page += fmt::format("<h1>Rebase onto {}</h1>\n<p>{}</p>\n", TextAt(report, "onto"),
                      TextAt(report, "onto_identity"));
  if (report.contains("stopped")) {
    page += fmt::format("<p class=\"failed\">Stopped early: {}.</p>\n", TextAt(report, "stopped"));
  }
  page += fmt::format(
      "<p>{} VMs; their deltas took {} MiB and take {} MiB; {} MiB were the new master's already "
      "and are not kept twice.</p>\n",
      report["vms"].size(), Mebibytes(NumberAt(report, "/bytes/before")),
      Mebibytes(NumberAt(report, "/bytes/after")), Mebibytes(NumberAt(report, "/bytes/dropped")));
  page += CountsTable("VMs", "state", report["states"]);
  page += Distribution(report["vms"]);
  page += CountsTable("What became of conflicts", "action", report["conflicts"]);
  page += VmTable(report["vms"]);
  return page + "</body></html>\n";
}

}  // namespace mica::rebase

#include "pgrecast/cli/plan_text.h"

#include "pgrecast/base/text.h"
#include "pgrecast/cli/lines.h"
#include "pgrecast/cli/native_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace pgrecast::cli {
namespace {

std::string table_text(const catalog::Table& source,
                       const plan::TableTarget& target,
                       const std::string& migration) {
  std::vector<std::string> key;
  for (const catalog::KeyColumn& column : source.key.value().columns) {
    key.push_back(column.name);
  }
  const std::string rows =
      source.rows_estimate <= 0 && source.bytes > 0
          ? "rows not known (never analyzed)"
          : fmt::format("about {} rows", short_count(source.rows_estimate));
  std::string text =
      "\n" +
      wrapped("",
              fmt::format("Table {}: {}, {}, key ({})", source.name.display(),
                          rows, short_size(static_cast<double>(source.bytes)),
                          join(key, ", ")));
  for (const std::string& change : target.changes) {
    text += wrapped("  - ", change);
  }
  text += wrapped("  built as    ", target.shadow.display());
  std::vector<std::string> indexes{target.key_index.name};
  for (const plan::ShadowIndex& index : target.indexes) {
    indexes.push_back(index.name);
  }
  text += wrapped("  indexes     ", join(indexes, ", "));
  text += wrapped("  afterwards  ",
                  fmt::format("the old one is kept as {} until `pgrecast "
                              "finish {}`",
                              target.retired.display(), migration));
  return text;
}

// Those that decide conversions most often, and what the script itself sets.
std::string settings_text(const plan::Plan& plan) {
  constexpr std::array<std::string_view, 4> kAlways{
      "TimeZone", "DateStyle", "IntervalStyle", "search_path"};
  std::vector<std::string> shown;
  for (const auto& [name, value] : plan.settings) {
    const auto first = plan.settings_at_start.find(name);
    const bool set =
        first == plan.settings_at_start.end() || first->second != value;
    if (!set && std::ranges::find(kAlways, name) == kAlways.end()) continue;
    shown.push_back(fmt::format("{} = {}{}", name, value,
                                set ? " (set by the script)" : ""));
  }
  return join(shown, "; ");
}

}  // namespace

std::string plan_text(const plan::Plan& plan) {
  std::string text =
      wrapped("", fmt::format("Plan of migration {}", plan.names.migration));
  for (std::size_t i = 0; i < plan.targets.size(); ++i) {
    text += table_text(plan.sources[i], plan.targets[i], plan.names.migration);
  }
  text += native_text(plan.native);
  text += "\nMade on the way\n";
  text += wrapped("  publication ", plan.names.publication);
  text += wrapped("  slot        ", plan.names.slot);
  text += wrapped("  schemas     ", join(plan.schemas, ", "));
  text += wrapped("  settings    ", settings_text(plan));
  for (const std::string& note : plan.notes) text += wrapped("note: ", note);
  for (const std::string& warning : plan.warnings) {
    text += wrapped("warning: ", warning);
  }
  return text;
}

}  // namespace pgrecast::cli

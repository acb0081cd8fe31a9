#include "pgrecast/cli/plan_text.h"

#include "pgrecast/base/text.h"
#include "pgrecast/cli/lines.h"
#include "pgrecast/cli/native_text.h"
#include "pgrecast/cli/outlook_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace pgrecast::cli {
namespace {

using migration::PlanReport;
using migration::TableReport;

enum class Ink { kPlain, kBold, kAdded, kDropped, kChanged, kFaint };

const char* code_of(Ink ink) {
  switch (ink) {
    case Ink::kPlain:
      return "";
    case Ink::kBold:
      return "\x1b[1m";
    case Ink::kAdded:
      return "\x1b[32m";
    case Ink::kDropped:
      return "\x1b[31m";
    case Ink::kChanged:
      return "\x1b[33m";
    case Ink::kFaint:
      return "\x1b[2m";
  }
  return "";
}

// `count` of something, in words.
std::string counted(std::size_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

// What is about a change of a definition: without the words at its end that
// stay the same. "integer NOT NULL" to "bigint NOT NULL": integer -> bigint.
std::string difference(std::string_view before, std::string_view after) {
  for (;;) {
    const std::size_t one = before.rfind(' ');
    const std::size_t other = after.rfind(' ');
    if (one == std::string_view::npos || other == std::string_view::npos) break;
    if (before.substr(one) != after.substr(other)) break;
    before = before.substr(0, one);
    after = after.substr(0, other);
  }
  return fmt::format("{} -> {}", before, after);
}

// Lines of at most so many columns, each in one ink, free of control
// characters.
class Page {
 public:
  explicit Page(const PlanStyle& style)
      : colour_(style.colour), columns_(style.columns) {}

  void line(std::string_view first, std::string_view text,
            Ink ink = Ink::kPlain) {
    put(wrapped(printable(first), printable(text), columns_), ink);
  }

  void heading(std::string_view text) {
    text_ += '\n';
    line("", text, Ink::kBold);
  }

  // As it stands, broken where it is too long for a line.
  void sql(std::string_view text) {
    put(wrapped_sql("  ", printable(text), columns_), Ink::kPlain);
  }

  // Lines that are made elsewhere, from values of ours.
  void text_as_it_is(std::string_view lines) { text_ += printable(lines); }

  std::string text() && { return std::move(text_); }

 private:
  void put(std::string lines, Ink ink) {
    if (!colour_ || ink == Ink::kPlain) {
      text_ += lines;
      return;
    }
    lines.pop_back();  // the newline
    text_ += code_of(ink) + lines + "\x1b[0m\n";
  }

  bool colour_;
  std::size_t columns_;
  std::string text_;
};

std::size_t name_width(const TableReport& table) {
  constexpr std::size_t kWidest = 24;
  std::size_t width = 0;
  for (const migration::ColumnChange& column : table.columns) {
    if (column.changed()) width = std::max(width, display_width(column.name));
  }
  return std::min(width, kWidest);
}

void column_lines(Page& page, const TableReport& table) {
  const std::size_t width = name_width(table);
  std::size_t same = 0;
  for (const migration::ColumnChange& column : table.columns) {
    const std::string name = padded(column.name, width) + "  ";
    if (!column.changed()) {
      ++same;
    } else if (column.after.empty()) {
      page.line("  - " + name, column.before, Ink::kDropped);
    } else if (column.before.empty()) {
      page.line("  + " + name, column.after, Ink::kAdded);
    } else {
      std::string text;
      if (!column.renamed_from.empty()) text = "was " + column.renamed_from;
      if (column.before != column.after) {
        text += (text.empty() ? "" : "; ") +
                difference(column.before, column.after);
      }
      page.line("  ~ " + name, text, Ink::kChanged);
    }
  }
  if (same > 0) {
    page.line("    ",
              counted(same, "column") +
                  (same == 1 ? " stays as it is" : " stay as they are"),
              Ink::kFaint);
  }
}

void change_lines(Page& page, const TableReport& table) {
  for (const migration::ShapeChange& change : table.changes) {
    if (change.after.empty()) {
      page.line("  - ", change.what + "  " + change.before, Ink::kDropped);
    } else if (change.before.empty()) {
      page.line("  + ", change.what + "  " + change.after, Ink::kAdded);
    } else {
      page.line(
          "  ~ ",
          fmt::format("{}  {} -> {}", change.what, change.before, change.after),
          Ink::kChanged);
    }
  }
}

void row_lines(Page& page, const TableReport& table) {
  for (const migration::RowChange& change : table.rows) {
    const std::string where =
        change.condition.empty() ? "" : ", where " + change.condition;
    if (change.left_behind) {
      page.line("  - ", "rows" + where + ": they stay in the old table",
                Ink::kDropped);
    } else {
      page.line("  ~ ", "values of " + join(change.columns, ", ") + where,
                Ink::kChanged);
    }
  }
}

// The first of them, and how many more there are.
std::string some_of(std::vector<std::string> names) {
  constexpr std::size_t kNamesShown = 8;
  if (names.size() > kNamesShown + 1) {
    const std::size_t more = names.size() - kNamesShown;
    names.resize(kNamesShown);
    names.push_back(fmt::format("and {} more", more));
  }
  return join(names, ", ");
}

void partition_lines(Page& page, const TableReport& table) {
  std::vector<std::string> added;
  std::vector<std::string> gone;
  std::size_t same = 0;
  for (const migration::PartitionChange& part : table.partitions) {
    if (part.before.empty()) {
      added.push_back(part.name);
    } else if (part.after.empty()) {
      gone.push_back(part.name);
    } else if (part.before == part.after) {
      ++same;
    } else {
      page.line("  ~ ",
                fmt::format("partition {}  {} -> {}", part.name, part.before,
                            part.after),
                Ink::kChanged);
    }
  }
  const auto list = [&](const char* mark, const std::vector<std::string>& names,
                        Ink ink) {
    if (names.empty()) return;
    page.line(mark, counted(names.size(), "partition") + ": " + some_of(names),
              ink);
  };
  list("  - ", gone, Ink::kDropped);
  list("  + ", added, Ink::kAdded);
  if (same == 0) return;
  page.line("    ",
            counted(same, "partition") +
                (same == 1 ? " stays as it is" : " stay as they are"),
            Ink::kFaint);
}

std::string size_text(const migration::TableSize& size) {
  const std::string rows =
      size.rows_known ? fmt::format("about {} rows", short_count(size.rows))
                      : "rows not known (never analyzed)";
  std::string text = fmt::format(
      "{}, {}", rows,
      short_size(static_cast<double>(size.heap_bytes + size.toast_bytes)));
  if (size.index_count > 0) {
    text += fmt::format(" and {} of {}",
                        size.index_count == 1
                            ? "an index"
                            : fmt::format("{} indexes", size.index_count),
                        short_size(static_cast<double>(size.index_bytes)));
  }
  return text;
}

void table_lines(Page& page, const PlanReport& report, std::size_t index) {
  const catalog::Table& source = report.plan.sources[index];
  const TableReport& table = report.tables[index];
  std::vector<std::string> key;
  for (const catalog::KeyColumn& column : source.key.value().columns) {
    key.push_back(column.name);
  }
  page.heading(source.name.display());
  page.line("  ", fmt::format("{}, key ({})", size_text(table.size),
                              join(key, ", ")));
  column_lines(page, table);
  row_lines(page, table);
  change_lines(page, table);
  partition_lines(page, table);
  if (!table.silent_triggers.empty()) {
    page.line(
        "  ! ",
        fmt::format("{} {}: not fired; by hand the script's UPDATE or "
                    "DELETE would do so",
                    table.silent_triggers.size() == 1 ? "trigger" : "triggers",
                    join(table.silent_triggers, ", ")),
        Ink::kChanged);
  }
}

// "the tables, public.customers": what the migration is about, and the rest.
std::string objects_text(const std::vector<std::string>& objects,
                         const std::vector<std::string>& tables,
                         bool partitioned) {
  std::vector<std::string> rest;
  std::size_t found = 0;
  for (const std::string& object : objects) {
    if (std::ranges::find(tables, object) == tables.end()) {
      rest.push_back(object);
    } else {
      ++found;
    }
  }
  if (found != tables.size()) return join(objects, ", ");
  rest.insert(rest.begin(), tables.size() == 1 ? "the table" : "the tables");
  if (partitioned) rest.front() += " with all partitions";
  return join(rest, ", ");
}

// Steps that do the same, one after the other, are one line.
void lock_lines(Page& page, const PlanReport& report) {
  std::vector<std::string> tables;
  for (const catalog::Table& source : report.plan.sources) {
    tables.push_back(source.name.display());
  }
  const bool partitioned =
      std::ranges::any_of(report.plan.sources, &catalog::Table::partitioned);
  page.heading("Locks on what others use");
  const auto& locks = report.locks;
  std::string_view shown_step;
  for (std::size_t i = 0; i < locks.size(); ++i) {
    const migration::StepLock& first = locks[i];
    std::size_t last = i;
    while (last + 1 < locks.size() && locks[last + 1].mode == first.mode &&
           locks[last + 1].objects == first.objects &&
           locks[last + 1].held == first.held) {
      ++last;
    }
    const std::string step = first.step == shown_step ? ""
                             : last == i              ? first.step
                                         : first.step + "-" + locks[last].step;
    const bool everybody = first.hinders == "everybody";
    const std::string waiting = everybody ? "everybody waits, "
                                : first.hinders == "writers" ? "writers wait, "
                                : first.hinders == "nextval()"
                                    ? "nextval() waits, "
                                    : "";
    page.line(fmt::format("  {:<12} {:<22}  ", step, first.mode),
              fmt::format("{}: {}{}",
                          objects_text(first.objects, tables, partitioned),
                          waiting, first.held),
              everybody ? Ink::kBold : Ink::kPlain);
    shown_step = locks[last].step;
    i = last;
  }
}

void carried_lines(Page& page, const PlanReport& report) {
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    page.heading("Comes along with " + report.plan.sources[i].name.display());
    for (const migration::CarriedKind& kind : report.tables[i].carried) {
      page.line(fmt::format("  {:<19} {:>3}  ", kind.kind, kind.names.size()),
                some_of(kind.names));
    }
  }
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

void warning_lines(Page& page, const plan::Plan& plan) {
  if (plan.warnings.empty() && plan.notes.empty()) return;
  page.heading("Warnings");
  for (const std::string& warning : plan.warnings) {
    page.line("  ! ", warning, Ink::kChanged);
  }
  for (const std::string& note : plan.notes) page.line("  - ", note);
}

void detail_lines(Page& page, const PlanReport& report) {
  carried_lines(page, report);
  page.heading("Made on the way, and removed");
  page.line("  publication ", report.plan.names.publication);
  page.line("  slot        ", report.plan.names.slot);
  page.line("  schemas     ", join(report.schemas, ", "));
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    page.heading("The new " + report.plan.sources[i].name.display());
    for (const std::string& statement : report.tables[i].ddl) {
      page.sql(statement + ";");
    }
    page.heading("Its rows");
    page.sql(report.tables[i].select + ";");
  }
}

}  // namespace

std::string plan_text(const PlanReport& report, const PlanStyle& style) {
  Page page(style);
  page.line("", "Plan of migration " + report.plan.names.migration, Ink::kBold);
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    table_lines(page, report, i);
  }
  page.text_as_it_is(native_text(report.plan.native, style.columns));
  warning_lines(page, report.plan);
  lock_lines(page, report);
  page.text_as_it_is(outlook_text(report, style.columns));
  std::vector<std::string> kept;
  for (const plan::TableTarget& target : report.plan.targets) {
    kept.push_back(target.retired.display());
  }
  page.heading("Settings for conversions");
  page.line("  ", settings_text(report.plan));
  page.heading("Afterwards");
  page.line("  ",
            fmt::format("the old {} as {} until `pgrecast finish {}`",
                        kept.size() == 1 ? "table is kept" : "tables are kept",
                        join(kept, ", "), report.plan.names.migration));
  if (style.detailed) detail_lines(page, report);
  return std::move(page).text();
}

}  // namespace pgrecast::cli

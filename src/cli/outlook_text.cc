#include "pgrecast/cli/outlook_text.h"

#include "pgrecast/cli/lines.h"

#include <fmt/format.h>

namespace pgrecast::cli {
namespace {

std::string size_of(std::int64_t bytes) {
  return short_size(static_cast<double>(bytes));
}

std::string disk_text(const migration::DiskReport& disk, std::size_t columns) {
  std::string text = "\nDisk, as an estimate\n";
  text += wrapped(
      "  on the server  ",
      fmt::format("{} for the new tables, as large as the old ones; {} of WAL "
                  "beside what the application writes; {} of WAL at most that "
                  "the slot keeps. What is free there the server does not tell",
                  size_of(disk.copy_bytes), size_of(disk.wal_bytes),
                  size_of(disk.kept_wal_bytes_max)),
      columns);
  text += wrapped("  change buffer  ",
                  disk.state_dir_free_bytes
                      ? fmt::format("{} are free in its folder",
                                    size_of(*disk.state_dir_free_bytes))
                      : "what is free in its folder is not known",
                  columns);
  return text;
}

std::string time_text(const migration::TimeReport& time, std::size_t columns) {
  std::string text =
      fmt::format("\nExpected time, as tried just now on {} of the rows\n",
                  size_of(time.sampled_bytes));
  std::string range = "less than a second";
  if (time.most_s >= 1) {
    const std::string least = short_duration(time.least_s);
    const std::string most = short_duration(time.most_s);
    range = least == most ? least : fmt::format("{} to {}", least, most);
  }
  text += wrapped(
      "  ",
      fmt::format("{}, as {} workers share it well or badly. By one: copy {}, "
                  "indexes {}, verification {}. On top comes what the "
                  "application writes meanwhile, what the migration waits for, "
                  "foreign keys and materialized views",
                  range, time.workers, short_duration(time.copy_s),
                  short_duration(time.index_s), short_duration(time.verify_s)),
      columns);
  return text;
}

std::string now_text(const migration::PlanReport& report, std::size_t columns) {
  std::string text = "\nIn the way right now\n";
  if (report.hindrances.empty()) {
    text += "  no transaction that the migration would wait for\n";
  }
  for (const migration::Hindrance& one : report.hindrances) {
    text += wrapped(
        "  ! ",
        fmt::format("{} for {}: {}", one.what,
                    short_duration(static_cast<double>(one.age_s)), one.effect),
        columns);
  }
  for (const migration::OtherSlot& slot : report.other_slots) {
    text +=
        wrapped("  - ",
                fmt::format("slot {} ({}, {}) keeps {} of WAL", slot.name,
                            slot.kind, slot.active ? "active" : "not active",
                            size_of(slot.lag_bytes)),
                columns);
  }
  return text;
}

}  // namespace

std::string outlook_text(const migration::PlanReport& report,
                         std::size_t columns) {
  return disk_text(report.disk, columns) +
         (report.time ? time_text(*report.time, columns) : std::string()) +
         now_text(report, columns);
}

}  // namespace pgrecast::cli

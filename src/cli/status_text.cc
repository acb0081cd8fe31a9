#include "pgrecast/cli/status_text.h"

#include "pgrecast/base/json.h"
#include "pgrecast/base/text.h"
#include "pgrecast/cli/lines.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace pgrecast::cli {
namespace {

using migration::MigrationStatus;
using migration::Phase;

// One more whenever a field changes its meaning or goes.
constexpr int kJsonVersion = 1;

nlohmann::json progress_of(const MigrationStatus& status) {
  if (!status.heartbeat) return nlohmann::json::object();
  return nlohmann::json::parse(status.heartbeat->status_json);
}

std::string size_at(const nlohmann::json& progress, const char* field) {
  return short_size(progress.at(field).get<double>());
}

std::string process_of(const MigrationStatus& status) {
  if (!status.heartbeat) return status.running ? "starting" : "none";
  const auto& beat = *status.heartbeat;
  if (status.running) {
    return fmt::format("{} on {}, seen {:.0f} s ago", beat.pid, beat.host,
                       beat.age_seconds);
  }
  return fmt::format("none (was {} on {}, {:.0f} s ago)", beat.pid, beat.host,
                     beat.age_seconds);
}

std::string next_step(const MigrationStatus& status) {
  const std::string& name = status.record.name;
  if (status.record.phase == Phase::kDone) return "pgrecast finish " + name;
  if (!status.running) return "the same `pgrecast run` resumes it";
  if (status.record.phase == Phase::kReady) return "pgrecast cutover " + name;
  return "wait";
}

// The heartbeat's part of status_text().
std::string progress_text(const nlohmann::json& progress, std::size_t columns) {
  std::string text;
  for (const auto& table : progress.at("tables")) {
    text +=
        wrapped("  copied    ",
                fmt::format("{}: {} rows, {} of {} blocks; {} rows verified",
                            table.at("name").get<std::string>(),
                            table.at("rows_copied").get<std::int64_t>(),
                            table.at("blocks_copied").get<std::int64_t>(),
                            table.at("blocks").get<std::int64_t>(),
                            table.at("rows_verified").get<std::uint64_t>()),
                columns);
  }
  text += wrapped("  dirty     ",
                  fmt::format("{} keys, {} of change buffer",
                              progress.at("dirty_keys").get<std::uint64_t>(),
                              size_at(progress, "buffer_bytes")),
                  columns);
  text += wrapped("  lag       ",
                  fmt::format("{}, the server keeps {} of WAL for it",
                              size_at(progress, "lag_bytes"),
                              size_at(progress, "retained_bytes")),
                  columns);
  if (const auto waiting = progress.at("waiting_for").get<std::string>();
      !waiting.empty()) {
    text += wrapped("  waiting   ", "for " + waiting, columns);
  }
  return text;
}

}  // namespace

std::string status_text(const MigrationStatus& status, std::size_t columns) {
  const auto& record = status.record;
  std::string text = fmt::format("Migration {}\n", record.name);
  text += wrapped("  phase     ", migration::name_of(record.phase), columns);
  text += wrapped("  tables    ", join(status.tables, ", "), columns);
  text += wrapped("  process   ", process_of(status), columns);
  if (const nlohmann::json progress = progress_of(status);
      !progress.empty() && record.phase < Phase::kExchanged) {
    text += progress_text(progress, columns);
  }
  text += wrapped("  verified  ", record.verified ? "yes" : "not yet", columns);
  text += wrapped("  next      ", next_step(status), columns);
  if (!status.events.empty()) text += "  events\n";
  for (const migration::Event& event : status.events) {
    text += wrapped("    ",
                    fmt::format("{} {} {} (by {})", event.at, event.event,
                                event.detail, event.by),
                    columns);
  }
  return text;
}

std::string list_text(const std::vector<MigrationStatus>& all) {
  if (all.empty()) return "no migrations in this database\n";
  std::string text;
  for (const MigrationStatus& status : all) {
    text += fmt::format("{:<24} {:<12} {:<8} {}\n", status.record.name,
                        migration::name_of(status.record.phase),
                        status.running ? "running" : "-",
                        join(status.tables, ", "));
  }
  return text;
}

std::string status_json(const std::vector<MigrationStatus>& all) {
  nlohmann::json list = nlohmann::json::array();
  for (const MigrationStatus& status : all) {
    nlohmann::json events = nlohmann::json::array();
    for (const migration::Event& event : status.events) {
      events.push_back({{"at", event.at},
                        {"by", event.by},
                        {"event", event.event},
                        {"detail", event.detail}});
    }
    nlohmann::json one = {{"name", status.record.name},
                          {"id", status.record.id},
                          {"phase", migration::name_of(status.record.phase)},
                          {"tables", status.tables},
                          {"running", status.running},
                          {"verified", status.record.verified},
                          {"slot", status.record.slot},
                          {"publication", status.record.publication},
                          {"progress", progress_of(status)},
                          {"next", next_step(status)},
                          {"events", events}};
    if (status.heartbeat) {
      one["host"] = status.heartbeat->host;
      one["pid"] = status.heartbeat->pid;
      one["heartbeat_age_seconds"] = status.heartbeat->age_seconds;
    }
    list.push_back(std::move(one));
  }
  return shown_json({{"version", kJsonVersion}, {"migrations", list}}, 2) +
         "\n";
}

}  // namespace pgrecast::cli

#include "pgrecast/cli/plan_json.h"

#include "pgrecast/base/json.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <utility>

namespace pgrecast::cli {
namespace {

using migration::PlanReport;
using migration::TableReport;
using nlohmann::json;

// One more whenever a field changes its meaning or goes.
constexpr int kJsonVersion = 1;
constexpr int kIndent = 2;

json or_null(const std::string& text) {
  return text.empty() ? json(nullptr) : json(text);
}

json columns_json(const TableReport& table) {
  json list = json::array();
  for (const migration::ColumnChange& column : table.columns) {
    list.push_back({{"name", column.name},
                    {"renamed_from", or_null(column.renamed_from)},
                    {"before", or_null(column.before)},
                    {"after", or_null(column.after)}});
  }
  return list;
}

json changes_json(const TableReport& table) {
  json list = json::array();
  for (const migration::ShapeChange& change : table.changes) {
    list.push_back({{"what", change.what},
                    {"before", or_null(change.before)},
                    {"after", or_null(change.after)}});
  }
  return list;
}

json rows_json(const TableReport& table) {
  json list = json::array();
  for (const migration::RowChange& change : table.rows) {
    list.push_back({{"line", change.line},
                    {"columns", change.columns},
                    {"where", or_null(change.condition)},
                    {"left_behind", change.left_behind}});
  }
  return list;
}

json carried_json(const TableReport& table) {
  json list = json::array();
  for (const migration::CarriedKind& kind : table.carried) {
    list.push_back(
        {{"kind", kind.kind}, {"names", kind.names}, {"how", kind.how}});
  }
  return list;
}

json partitions_json(const TableReport& table) {
  json list = json::array();
  for (const migration::PartitionChange& part : table.partitions) {
    list.push_back({{"name", part.name},
                    {"before", or_null(part.before)},
                    {"after", or_null(part.after)}});
  }
  return list;
}

json table_json(const PlanReport& report, std::size_t index) {
  const catalog::Table& source = report.plan.sources[index];
  const plan::TableTarget& target = report.plan.targets[index];
  const TableReport& table = report.tables[index];
  json key = json::array();
  for (const catalog::KeyColumn& column : source.key.value().columns) {
    key.push_back(column.name);
  }
  return {{"name", source.name.display()},
          {"key", std::move(key)},
          {"rows_estimate",
           table.size.rows_known ? json(table.size.rows) : json(nullptr)},
          {"heap_bytes", table.size.heap_bytes},
          {"toast_bytes", table.size.toast_bytes},
          {"index_bytes", table.size.index_bytes},
          {"index_count", table.size.index_count},
          {"columns", columns_json(table)},
          {"changes", changes_json(table)},
          {"rows", rows_json(table)},
          {"partitions", partitions_json(table)},
          {"ddl", table.ddl},
          {"select", table.select},
          {"carried", carried_json(table)},
          {"silent_triggers", table.silent_triggers},
          {"shadow", target.shadow.display()},
          {"retired", target.retired.display()}};
}

json native_json(const plan::Plan& plan) {
  json list = json::array();
  for (const plan::NativeStep& step : plan.native) {
    list.push_back({{"line", step.line},
                    {"needs_migration", plan::needs_migration(step)},
                    {"effect", plan::in_words(step.effect)},
                    {"lock", step.lock},
                    {"object", or_null(step.object)},
                    {"better", or_null(step.instead)}});
  }
  return list;
}

json now_json(const PlanReport& report) {
  json list = json::array();
  for (const migration::Hindrance& one : report.hindrances) {
    list.push_back(
        {{"what", one.what}, {"age_s", one.age_s}, {"effect", one.effect}});
  }
  return list;
}

json slots_json(const PlanReport& report) {
  json list = json::array();
  for (const migration::OtherSlot& slot : report.other_slots) {
    list.push_back({{"name", slot.name},
                    {"kind", slot.kind},
                    {"active", slot.active},
                    {"lag_bytes", slot.lag_bytes}});
  }
  return list;
}

json disk_json(const migration::DiskReport& disk) {
  return {{"copy_bytes", disk.copy_bytes},
          {"wal_bytes", disk.wal_bytes},
          {"kept_wal_bytes_max", disk.kept_wal_bytes_max},
          {"state_dir_free_bytes", disk.state_dir_free_bytes
                                       ? json(*disk.state_dir_free_bytes)
                                       : json(nullptr)}};
}

json time_json(const PlanReport& report) {
  if (!report.time) return nullptr;
  const auto rounded = [](double seconds) {
    return std::round(seconds * 1000) / 1000;
  };
  const migration::TimeReport& time = *report.time;
  return {
      {"least_s", rounded(time.least_s)},   {"most_s", rounded(time.most_s)},
      {"copy_s", rounded(time.copy_s)},     {"index_s", rounded(time.index_s)},
      {"verify_s", rounded(time.verify_s)}, {"workers", time.workers},
      {"sampled_bytes", time.sampled_bytes}};
}

json locks_json(const PlanReport& report) {
  json list = json::array();
  for (const migration::StepLock& lock : report.locks) {
    list.push_back({{"step", lock.step},
                    {"mode", lock.mode},
                    {"objects", lock.objects},
                    {"held", lock.held},
                    {"waited", lock.waited},
                    {"hinders", lock.hinders}});
  }
  return list;
}

// Names are the server's, in whatever bytes a database of SQL_ASCII has.
std::string dumped(const json& value) {
  return shown_json(value, kIndent) + "\n";
}

}  // namespace

std::string plan_json(const PlanReport& report) {
  json tables = json::array();
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    tables.push_back(table_json(report, i));
  }
  return dumped({{"version", kJsonVersion},
                 {"migration", report.plan.names.migration},
                 {"refusals", json::array()},
                 {"warnings", report.plan.warnings},
                 {"tables", std::move(tables)},
                 {"by_hand", native_json(report.plan)},
                 {"locks", locks_json(report)},
                 {"right_now", now_json(report)},
                 {"other_slots", slots_json(report)},
                 {"disk", disk_json(report.disk)},
                 {"expected_time", time_json(report)},
                 {"notes", report.plan.notes},
                 {"settings", report.plan.settings},
                 {"makes",
                  {{"publication", report.plan.names.publication},
                   {"slot", report.plan.names.slot},
                   {"schemas", report.schemas}}}});
}

std::string plan_json(const std::string& migration, const Refused& refused) {
  json refusals = json::array();
  for (const Refusal& refusal : refused.refusals()) {
    refusals.push_back({{"what", refusal.what}, {"remedy", refusal.remedy}});
  }
  return dumped({{"version", kJsonVersion},
                 {"migration", migration},
                 {"refusals", std::move(refusals)},
                 {"warnings", plan::warnings_of(refused)}});
}

}  // namespace pgrecast::cli

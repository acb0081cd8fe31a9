#include "pgrecast/migration/progress.h"

#include "pgrecast/base/json.h"

#include <nlohmann/json.hpp>

namespace pgrecast::migration {

std::int64_t ProgressData::rows_copied() const {
  std::int64_t sum = 0;
  for (const TableProgress& table : tables) sum += table.rows_copied;
  return sum;
}

std::int64_t ProgressData::blocks() const {
  std::int64_t sum = 0;
  for (const TableProgress& table : tables) sum += table.blocks;
  return sum;
}

std::int64_t ProgressData::blocks_copied() const {
  std::int64_t sum = 0;
  for (const TableProgress& table : tables) sum += table.blocks_copied;
  return sum;
}

std::string ProgressData::to_json() const {
  nlohmann::json all_tables = nlohmann::json::array();
  for (const TableProgress& table : tables) {
    all_tables.push_back({{"name", table.name},
                          {"blocks", table.blocks},
                          {"blocks_copied", table.blocks_copied},
                          {"rows_copied", table.rows_copied},
                          {"rows_verified", table.rows_verified},
                          {"rows_estimate", table.rows_estimate}});
  }
  nlohmann::json took = nlohmann::json::object();
  for (const auto& [done, time] : phase_took) {
    took[std::string(name_of(done))] = time.count();
  }
  return shown_json({{"phase", name_of(phase)},
                     {"tables", all_tables},
                     {"phase_took_ms", took},
                     {"dirty_keys", dirty_keys},
                     {"lag_bytes", lag_bytes},
                     {"retained_bytes", retained_bytes},
                     {"buffer_bytes", buffer_bytes},
                     {"waiting_for", waiting_for},
                     {"rounds", rounds},
                     {"verification_passes", passes},
                     {"differences", differences},
                     {"cutover_attempts", cutover_attempts},
                     {"lock_waited_ms", lock_waited.count()},
                     {"lock_held_ms", lock_held.count()}});
}

}  // namespace pgrecast::migration

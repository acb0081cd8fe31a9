#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/buffer/change_buffer.h"
#include "pgrecast/buffer/forget_gate.h"
#include "pgrecast/buffer/key_codec.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/catalog/source_guard.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/migrated_table.h"

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace pgrecast::verify {

// A row in which source and shadow differ although its key is not dirty: a bug,
// or somebody else's write to the shadow.
struct Difference {
  std::string table;             // schema.name
  std::vector<std::string> key;  // as the source writes it
  std::string what;              // missing, surplus, different, or twice
};

// What a session needs so that ranges are read by the key's index.
void prefer_key_ranges(pg::Connection& connection);

// Walks one table by ranges of its key, each range in one snapshot: every
// difference must be a key that was dirty at some time since. Rows are compared
// as images (*=), which needs no operator of their types.
//
// Several threads may verify ranges of the same pass, each with two sessions of
// its own.
class Pass {
 public:
  struct Parts {
    const plan::MigratedTable* table = nullptr;
    const KeyCodec* codec = nullptr;
    ChangeBuffer* buffer = nullptr;
    ForgetGate* gate = nullptr;
    const catalog::SourceGuard* guard = nullptr;
  };

  explicit Pass(Parts parts);

  // Verifies the next range, on a session with the script's settings. `fence`
  // as in refresh::Rounds, on another session. False when there was none left.
  //
  // Throws what the sessions throw, OwnershipLost,
  // catalog::FingerprintMismatch. After an SqlError the range is handed out
  // again, so that the same may be asked once more (pg::retried).
  bool verify_next(pg::Connection& connection,
                   const std::function<void(Deadline)>& fence);

  std::uint64_t rows() const;
  bool finished() const;  // every range was handed out and verified
  // How many differences were found, and the first thousand of them: a repair
  // may find as many as there are rows.
  std::uint64_t difference_count() const;
  std::vector<Difference> take_differences();

 private:
  struct Range {
    std::optional<std::vector<std::string>> after;  // exclusive
    std::optional<std::vector<std::string>> up_to;  // inclusive
  };
  struct Suspect {
    std::vector<std::string> key;
    std::string what;
    // The source's type can hold the key; else no round can ever refresh it.
    bool can_be_dirty = true;
  };

  std::optional<Range> take_given_back();
  std::optional<Range> next_range(pg::Connection& connection);
  bool compare_next(pg::Connection& connection, std::uint64_t& rows,
                    std::vector<Suspect>& suspects);
  std::vector<Suspect> compare(pg::Connection& connection, const Range& range,
                               std::uint64_t& rows);
  std::string joined_query(const Range& range, const std::string& list,
                           const std::string& how) const;
  std::vector<Suspect> read_keys(pg::Connection& connection,
                                 const std::vector<pg::Param>& places,
                                 bool of_source, const std::string& what);
  std::string read_keys_query(bool of_source, bool as_source) const;
  std::string source_condition(const Range& range) const;
  std::string shadow_condition(const Range& range) const;
  std::string key_values(const std::vector<std::string>& key) const;

  Parts parts_;
  mutable std::mutex mutex_;
  std::optional<std::vector<std::string>> at_;  // where the next range begins
  bool all_given_ = false;
  std::vector<Range> given_back_;
  int under_way_ = 0;
  std::int64_t rows_per_range_;
  std::uint64_t rows_ = 0;
  std::uint64_t difference_count_ = 0;
  std::vector<Difference> differences_;
};

}  // namespace pgrecast::verify

#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"

#include <optional>
#include <utility>
#include <vector>

namespace pgrecast::migration {

enum class Leftover { kSlot, kPublication, kSchema };

// What is there under the names of a migration that no record tells of: left
// behind where somebody dropped schema pgrecast, or made by somebody else. The
// slot, the publication, the schemas, each with the statement that removes it.
//
// We remove none of it unasked, not knowing whose it is: the schema of retired
// tables may hold the only copy of rows. Ask where there is no record, before
// anything is made; `only` of one kind.
std::vector<Refusal> leftover_refusals(
    pg::Connection& connection, const plan::Names& names,
    std::optional<Leftover> only = std::nullopt);

// Somebody made it after that look, and before we did. The words are the same,
// and what we have made by then is undone; theirs stays.
class NameTaken : public Refused {
 public:
  NameTaken(Leftover kind, std::vector<Refusal> refusals)
      : Refused(std::move(refusals)), kind_(kind) {}

  Leftover kind() const { return kind_; }

 private:
  Leftover kind_;
};

}  // namespace pgrecast::migration

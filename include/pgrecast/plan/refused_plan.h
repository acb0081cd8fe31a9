#pragma once

#include "pgrecast/base/error.h"

#include <string>
#include <utility>
#include <vector>

namespace pgrecast::plan {

// A plan that is refused, with what it would have warned of as far as that
// could be found out: who removes the reasons need not learn of it afterwards.
class RefusedPlan : public Refused {
 public:
  RefusedPlan(std::vector<Refusal> refusals, std::vector<std::string> warnings)
      : Refused(std::move(refusals)), warnings_(std::move(warnings)) {}

  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::vector<std::string> warnings_;
};

// Of any other refusal: none.
std::vector<std::string> warnings_of(const Refused& refused);

}  // namespace pgrecast::plan

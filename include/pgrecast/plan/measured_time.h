#pragma once

namespace pgrecast::plan {

// How long one session would take for a whole table, if it went on as on the
// sample that was measured. Estimates: seconds.
struct MeasuredTime {
  double copy_s = 0;
  double key_index_s = 0;
  double indexes_s = 0;        // the others, one after the other
  double longest_index_s = 0;  // of them
  double verify_s = 0;
  double rows = 0;           // of the source, as many a block as in the sample
  double sampled_bytes = 0;  // of the source, without TOAST
};

}  // namespace pgrecast::plan

// Rows that are the first or the last token of their sequence, and may have vectors of their own.
//
// The one token of a sequence of one is its first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/inline.h"

namespace bertc {

enum class Place : std::size_t { kOther, kFirst, kLast };

// Null where rows at that place have no vector of their own.
struct PlaceVectors {
  const float* first;
  const float* last;
};

// Where consecutive rows stand: row 0 is token `first_row`, in or before the sequence that ends at *ends, a
// place in cu_seqlens behind its first number. Null: no row has vectors of its own.
struct RowPlaces {
  const int32_t* ends;
  std::size_t first_row;

  // The place of a row, none of which may be before those that were asked for.
  BERTC_INLINE Place of(std::size_t row) {
    const auto token = static_cast<int32_t>(first_row + row);
    while (token >= *ends) ++ends;
    return token == ends[-1] ? Place::kFirst : token + 1 == *ends ? Place::kLast : Place::kOther;
  }
};

// The vector of rows at a place; `others` if it has none of its own.
BERTC_INLINE const float* vector_of(Place place, const PlaceVectors& own, const float* others) {
  const float* found = place == Place::kFirst ? own.first : place == Place::kLast ? own.last : nullptr;
  return found == nullptr ? others : found;
}

}  // namespace bertc

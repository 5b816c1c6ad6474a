# A source file's suffix decides its flags: what_avx2.cc is compiled for AVX2, and left out where the
# target is no x86-64. Files without a suffix of these must run on any processor.

# GCC 12 takes the undefined registers in its own AVX-512 intrinsics for uninitialized variables
# (GCC bug 105593).
set(BERTC_AVX2 -mavx2 -mfma -mf16c)
set(BERTC_AVXVNNI ${BERTC_AVX2} -mavxvnni)
set(BERTC_AVX512 ${BERTC_AVX2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni
                 -Wno-maybe-uninitialized -Wno-uninitialized)
set(BERTC_AVX512BF16 ${BERTC_AVX512} -mavx512bf16)
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(REMOVE_ITEM BERTC_AVX512 -Wno-maybe-uninitialized)
  list(REMOVE_ITEM BERTC_AVX512BF16 -Wno-maybe-uninitialized)
endif()

function(bertc_set_isa_flags sources)
  set(kept)
  foreach(source ${${sources}})
    if(source MATCHES "_(avx2|avxvnni|avx512|avx512bf16)\\.cc$")
      string(TOUPPER "BERTC_${CMAKE_MATCH_1}" flags)
      if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
        continue()
      endif()
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${${flags}}")
    endif()
    if(source MATCHES "_scalar\\.cc$")
      # Vectors wider than the target's registers are never passed between functions: all is inlined.
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-psabi)
    endif()
    list(APPEND kept ${source})
  endforeach()
  set(${sources} ${kept} PARENT_SCOPE)
endfunction()

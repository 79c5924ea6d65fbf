#pragma once

// Writing what must not be left in doubt. Private to jobs/.

#include "net/async.hpp"
#include "store/journal.hpp"

namespace gateway::jobs {

// Commits, and asks again for as long as it is not known whether that happened. What is written is
// changed by nobody else meanwhile, so a conflict then means that it had happened the first time.
net::task<error_code> commit_known(store::journal& journal, net::time_source& time, store::write w,
                                   bool doubtful = false);
// What the world has already done must be written down, however long it takes; only a conflict or
// the end of the process stops it.
net::task<error_code> commit_surely(store::journal& journal, net::time_source& time,
                                    store::write w);

} // namespace gateway::jobs

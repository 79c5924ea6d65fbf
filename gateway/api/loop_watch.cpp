#include "api/loop_watch.hpp"

#include <algorithm>

namespace gateway::api {

net::task<> loop_watch::run()
{
    for (;;) {
        const auto due = time_.now() + beat;
        const auto ec = co_await time_.sleep_until(due);
        if (ec)
            co_return;
        const double late = std::chrono::duration<double>(time_.now() - due).count();
        const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), late) - bounds.begin();
        ++lag_.buckets[static_cast<std::size_t>(bucket)];
        lag_.sum += late;
    }
}

} // namespace gateway::api

#pragma once

// A fixed number of places, given out in the order of asking: the WebUI's queue lock (one place)
// and its thread pool (forty).

#include "net/async.hpp"

#include <boost/system/system_error.hpp>

#include <list>
#include <memory>

namespace gateway::tools::simulator {

class turnstile {
    struct state;

public:
    turnstile(net::executor ex, std::size_t places);

    // Holding one is being inside; it is given back by its destructor.
    class place {
    public:
        explicit place(std::shared_ptr<state> of) : of_(std::move(of)) {}
        place(place&&) noexcept = default;
        place& operator=(place&& other) noexcept;
        ~place() { leave(); }
        void leave();

    private:
        std::shared_ptr<state> of_;
    };

    // Waits for a place. Throws system_error(operation_aborted) at shutdown.
    net::task<place> enter();
    std::size_t waiting() const;

private:
    std::shared_ptr<state> state_;
};

} // namespace gateway::tools::simulator

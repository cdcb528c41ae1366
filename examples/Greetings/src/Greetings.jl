"A package of its own, beside the project that uses it: it travels in the appbundle."
module Greetings

using Dates

export greeting

"""
    greeting(place, from, to)

The first line of a report on `place` from one month to another.
"""
function greeting(place, from::Date, to::Date)
    span(date) = Dates.format(date, "u yyyy")
    return "Greetings from $place, $(span(from)) to $(span(to))"
end

end

"One reading of a thermometer."
struct Reading
    date::Date
    celsius::Float64
end

"The readings in a file with one `date,celsius` a line, below a heading."
function readings(path)
    lines = readlines(path)[2:end]
    return [Reading(Date(date), parse(Float64, celsius)) for (date, celsius) in split.(lines, ',')]
end

"The months that have readings, each with their mean, in order."
function monthly(all)
    months = sort(unique(firstdayofmonth(r.date) for r in all))
    mean(values) = sum(values) / length(values)
    return [month => mean([r.celsius for r in all if firstdayofmonth(r.date) == month]) for month in months]
end

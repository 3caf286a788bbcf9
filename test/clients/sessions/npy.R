# R reads an array that numpy wrote: a head of text, and numbers in column order.
token <- Sys.getenv("TOKEN")
write <- 'import os, io, numpy, requests
b = io.BytesIO(); numpy.save(b, numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)))
requests.put(os.environ["ONE"] + "/v1/objects/npy/r", data=b.getvalue(), headers={"Authorization": "Bearer " + os.environ["TOKEN"]}).raise_for_status()'
stopifnot(system2(Sys.getenv("PYTHON"), c("-c", shQuote(write))) == 0)

read_npy <- function(connection) {
  on.exit(close(connection))
  start <- readBin(connection, "raw", 10)
  stopifnot(rawToChar(start[2:6]) == "NUMPY", start[7] == 1)
  head <- rawToChar(readBin(connection, "raw", readBin(start[9:10], "integer", size = 2, signed = FALSE, endian = "little")))
  stopifnot(grepl("'descr': '<f8'", head), grepl("'fortran_order': True", head))
  shape <- as.integer(strsplit(gsub(".*\\(|,? *\\).*", "", head), ", *")[[1]])
  array(readBin(connection, "double", prod(shape), size = 8, endian = "little"), shape)
}
got <- read_npy(url(paste0(Sys.getenv("TWO"), "/v1/objects/npy/r"), "rb", headers = c(Authorization = paste("Bearer", token))))
stopifnot(identical(got, rbind(c(0, 1, 2), c(3, 4, 5))))
cat("R", as.character(getRversion()), "reads npy\n")

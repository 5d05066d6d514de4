"""The words both sides of fsmend speak: protobuf messages and gRPC stubs, generated from the .proto files here."""

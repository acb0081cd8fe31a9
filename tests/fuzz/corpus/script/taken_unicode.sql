UPDATE "größe" SET U&"d!0061" UESCAPE '!' = U&'\0061' || "日本", e = f(now(), current_timestamp(3)) WHERE "where" = ',';
